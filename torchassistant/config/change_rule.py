"""What becomes of a change in the config, or in the code, of a session that exists already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

Effect = Literal["free", "applied", "refused", "fixed"]


class Condition(NamedTuple):
    """For which changes a rule holds.

    Args:
        text: As the table of the documentation says it.
        holds: Whether it holds, given what is changed, as it was and as it is: the blocks of a
            definition, or one where it is new or gone.
    """

    text: str
    holds: Callable[[Sequence[Any]], bool]


class Rule(NamedTuple):
    """What becomes of a change.

    Args:
        where: A path; ``*`` stands for any one step, a last ``**`` for any more. In the declaration
            of a group it begins in the definition, as ``spec.kwargs.lr``.
        effect: ``free`` changes no result; ``applied`` takes effect from the step at hand on;
            ``refused`` would make one run of two, and needs ``--accept-changes``; ``fixed`` cannot
            be changed, as what is stored would win.
        why: A clause for the table of the documentation, and for the message.
        only: Of such changes, those that are meant; None is all of them.
    """

    where: str
    effect: Effect
    why: str
    only: Condition | None = None

    def fits(self, steps: list[str], changed: Sequence[Any] = ()) -> bool:
        """Whether a path, by its steps, is meant.

        Args:
            steps: Of the path.
            changed: What a condition is given.
        """
        *pattern, last = self.where.split(".")
        if last == "**":
            is_as_long = len(steps) >= len(pattern)
        else:
            pattern.append(last)
            is_as_long = len(steps) == len(pattern)
        is_meant = is_as_long and all(p in ("*", s) for p, s in zip(pattern, steps, strict=False))
        return is_meant and (self.only is None or self.only.holds(changed))
