"""Names that nothing has: which of them are mistakes, and what they may mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from torchassistant.config.findings import Findings
from torchassistant.config.tree import Path
from torchassistant.errors import near, nearest

MOST_GUESSES = 300
"""Comparing names is dear; where so many are wrong, nobody is helped by one guess more."""


class Known(NamedTuple):
    """The names that may be used somewhere.

    Args:
        names: Those that are there, in the order of the config.
        lost: How many more there may be that cannot be read.
        doubtful: Those of ``names`` that may stand for others.
    """

    names: Collection[str]
    lost: float = 0
    doubtful: Collection[str] = ()


class Use(NamedTuple):
    """One place where a name is used."""

    name: str
    path: Path
    at_key: bool = False


class Naming:
    """Judges names, and remembers what the wrong ones are taken for.

    Args:
        findings: Gets the problems. The place of a name that nothing has counts as broken.
    """

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.meaning: dict[Path, str] = {}
        self._guesses = 0

    def read(self, name: str, path: Path) -> str | None:
        """What the name at a place means; None where that cannot be said."""
        meant = self.meaning.get(path)
        return meant if meant or self.findings.is_broken(path) else name

    def hint(self, name: str, known: Iterable[str]) -> str:
        """A clause that names the nearest known name, or lists them."""
        return near(name, known) if self._may_guess() else ""

    def nearest(self, name: str, known: Iterable[str]) -> str | None:
        """The known name that was probably meant."""
        return nearest(name, known) if self._may_guess() else None

    def _may_guess(self) -> bool:
        self._guesses += 1
        return self._guesses <= MOST_GUESSES

    def settle(
        self, known: Known, uses: Iterable[Use], sentence: Callable[[str], str]
    ) -> list[str]:
        """Tell of names that nothing has, and take each for what it most likely means.

        A name that something may have after all, whose own name cannot be read, is not told.

        Args:
            known: What may be named.
            uses: Where it is named.
            sentence: What is to be said of a name; a hint follows it.

        Returns:
            The names that were told, and mean nothing.
        """
        places: dict[str, list[Use]] = {}
        for use in uses:
            if not self.findings.is_broken(use.path):
                places.setdefault(use.name, []).append(use)
        strange = {name: found for name, found in places.items() if name not in known.names}
        if not strange:
            return []
        sure = [name for name in known.names if name not in known.doubtful]
        near_to = {name: self.nearest(name, sure) for name in strange}
        free = {name for name in sure if name not in places}
        taken = _matched(near_to, free)
        excused = self._excused([n for n in strange if n not in taken], near_to, known)
        for name, found in strange.items():
            told = "" if name in excused else sentence(name) + self.hint(name, sure)
            self._mark(found, taken.get(name) or excused.get(name), told)
        return [name for name in strange if name not in taken and name not in excused]

    def _excused(
        self, names: Sequence[str], near_to: dict[str, str | None], known: Known
    ) -> dict[str, str | None]:
        """The names that may belong to what cannot be read: those least like any other."""
        lost = known.lost + len(known.doubtful)
        if not lost:
            return {}
        if lost < len(names):
            names = sorted(names, key=lambda name: _likeness(name, near_to[name]))[: int(lost)]
        free = list(known.doubtful)
        return {
            name: (self.nearest(name, free) or (free[0] if len(free) == 1 else None))
            for name in names
        }

    def _mark(self, uses: list[Use], meant: str | None, message: str) -> None:
        for use in uses:
            if message:
                self.findings.note(message, use.path, use.at_key)
            self.findings.broken.add(use.path)
            if meant is not None:
                self.meaning[use.path] = meant


def _matched(near_to: dict[str, str | None], free: set[str]) -> dict[str, str]:
    """Names that are taken for another that nothing else uses, each of these once."""
    taken: dict[str, str] = {}
    for name in sorted(near_to, key=lambda name: -_likeness(name, near_to[name])):
        meant = near_to[name]
        if meant in free:
            taken[name] = str(meant)
            free = free - {meant}
    return taken


def _likeness(name: str, other: str | None) -> float:
    return SequenceMatcher(None, name, other).ratio() if other is not None else -math.inf
