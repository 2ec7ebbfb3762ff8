"""What is said of a cycle: which step of it is wrong, and how it is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

K = TypeVar("K")

_SHOWN = 12


def odd_one(cycle: Sequence[K], places: Mapping[K, Any]) -> tuple[K, K]:
    """The step of a cycle that is most likely wrong: from who uses, to what is used.

    What is used stands mostly above; where all but one step of a cycle go down, it is that one.

    Args:
        cycle: Each uses the next, and the last the first.
        places: Where each stands.
    """
    steps = list(zip(cycle, [*cycle[1:], cycle[0]], strict=True))
    up = [(one, other) for one, other in steps if places[one] > places[other]]
    down = [(one, other) for one, other in steps if places[one] <= places[other]]
    return up[0] if len(up) == 1 and len(down) > 1 else down[0]


def shown(names: Sequence[str]) -> str:
    """A cycle as text, cut where it is long."""
    cut = ["…"] if len(names) > _SHOWN else []
    return " → ".join([*names[:_SHOWN], *cut, names[0]])
