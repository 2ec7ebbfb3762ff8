"""Which checkpoint is meant by ``last``, ``best`` or a step; what is damaged is passed over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torchassistant.errors import SessionError, listing
from torchassistant.messages import logger_for
from torchassistant.session.checkpoints.retention import Best
from torchassistant.session.checkpoints.storage import (
    Checkpoint,
    CheckpointStorage,
    Unusable,
    order_of,
)
from torchassistant.session.files.manifest import LaterFormat

_log = logger_for(__name__)

BEST, LAST = "best", "last"

_MOST_DAMAGED = 50
"""So many that are damaged are passed over; where there are more, something else is wrong."""


class CheckpointSelector:
    """Chooses among the checkpoints of a session, and verifies what it chooses.

    Args:
        storage: Holds them.
        shown: What it is called in messages.
    """

    def __init__(self, storage: CheckpointStorage, shown: str) -> None:
        self.storage = storage
        self.shown = shown
        self.unusable: dict[str, Unusable] = {}
        """Those that turned out to be so, by their names: they are passed over."""
        self._warned: set[str] = set()

    def pass_over(self, checkpoint: Checkpoint, error: Unusable) -> None:
        """Take no checkpoint from now on that turned out to be unusable."""
        self.unusable[checkpoint.name] = error

    def newest(self, known: Checkpoint | None = None, with_history: bool = True) -> Checkpoint:
        """The newest checkpoint that is as it was written; damaged ones are named.

        Args:
            known: One that is verified already, and is not verified again.
            with_history: Whether the history up to it is needed too.

        Raises:
            SessionError: There is none; with what is wrong with each.
            LaterFormat: A later version has written one.
        """
        while True:
            names = self.storage.names()[::-1]
            try:
                return self._first(names, known, with_history)
            except SessionError:
                if names == self.storage.names()[::-1]:
                    raise

    def chosen(
        self,
        which: str,
        bests: Sequence[Best],
        known: Checkpoint | None = None,
        with_history: bool = True,
    ) -> Checkpoint:
        """A verified checkpoint by what a person calls it.

        Args:
            which: ``last``, a step, ``best``, or ``best-MONITOR``.
            bests: What ``best`` means: by the first monitor, unless one is named.
            known: One that is verified already, and is not verified again.
            with_history: Whether the history up to it is needed too.

        Raises:
            SessionError: There is none, or it is damaged.
        """
        if which == LAST:
            return self.newest(known, with_history)
        names = self.storage.names()
        if which == BEST and not bests:
            raise SessionError('the config has no "best" in its "checkpoints"')
        named = {f"{BEST}-{best.monitor}": best for best in reversed(bests)}
        best = bests[0] if which == BEST else named.get(which)
        if best is not None:
            scores = {name: self.storage.scores(name) for name in names}
            ranked = replace(best, keep=len(names)).among(scores)
            if not ranked:
                raise SessionError(f'no checkpoint has a score of "{best.monitor}" yet')
            found = self._first(ranked, known, with_history)
            if which == BEST and len(named) > 1:
                _log.info(_which_best(found, best, list(reversed(named))))
            return found
        same = [n for n in names if n == which or _is_step(which, order_of(n)[0])]
        if not same:
            steps = [str(order_of(name)[0]) for name in names]
            by_monitor = list(reversed(named)) if len(named) > 1 else []
            calls = [*([BEST] if bests else []), *by_monitor, LAST, *steps]
            there = listing(list(dict.fromkeys(calls)))
            raise SessionError(f'there is no checkpoint "{which}"; there are {there}')
        return self._verified(same[-1], known, with_history)

    def _first(
        self, names: Sequence[str], known: Checkpoint | None, with_history: bool
    ) -> Checkpoint:
        damage: list[str] = []
        for name in names:
            if self.unusable and name not in self.unusable and order_of(name)[0] == 0:
                # Hardly anything has a state there. Where what was trained does not fit, that has
                # to be repaired, and to start over is the user's decision.
                break
            try:
                checkpoint = self._verified(name, known, with_history)
            except LaterFormat:
                # An earlier one is no stand-in: training from there would take the later ones back.
                raise
            except SessionError as error:
                # Where somebody trains the session, old ones are taken away at any moment.
                if self.storage.has(name):
                    damage += [str(problem) for problem in error.problems]
                if len(damage) >= _MOST_DAMAGED:
                    damage.append("no more were tried")
                    break
                continue
            self._warn(damage, name)
            return checkpoint
        raise SessionError(*(damage or [f"{self.shown} holds no checkpoint"]))

    def _warn(self, damage: Sequence[str], name: str) -> None:
        """Warn of what was passed over; once of each."""
        lines = [*damage, *([f"resuming from checkpoint {name}"] if damage else [])]
        for line in lines:
            if line not in self._warned:
                _log.warning(line)
        self._warned.update(lines)

    def _verified(self, name: str, known: Checkpoint | None, with_history: bool) -> Checkpoint:
        if name in self.unusable:
            raise self.unusable[name]
        if known is not None and known.name == name:
            return known
        return self.storage.verified(name, with_history)


def _which_best(found: Checkpoint, best: Best, calls: Sequence[str]) -> str:
    """What is meant by ``best`` where there are several monitors."""
    others = listing([call for call in calls if call != f"{BEST}-{best.monitor}"])
    step = order_of(found.name)[0]
    by = f'the best by "{best.monitor}", the first monitor'
    return f'"{BEST}" is step {step}, {by}; there {"are" if "," in others else "is"} {others} too'


def _is_step(text: str, step: int) -> bool:
    """Whether a text is the number of a step."""
    return text.isascii() and text.isdecimal() and (text.lstrip("0") or "0") == str(step)
