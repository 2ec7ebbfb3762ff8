"""Names that nothing has: which of them are mistakes, and what they may mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple

from torchassistant.config.diagnostics import Diagnostics
from torchassistant.config.tree import Path
from torchassistant.errors import is_slip, listing, nearest

MOST_GUESSES = 100
"""Comparing names is dear; where so many are wrong, nobody is helped by one guess more."""


class Known(NamedTuple):
    """The names that may be used somewhere.

    Args:
        names: Those that are there, in the order of the config.
        lost: How many more there may be that cannot be read.
        doubtful: Those of ``names`` that may stand for others.
        aliases: Other names that are meant by some of ``names``, and right in themselves.
    """

    names: Collection[str]
    lost: float = 0
    doubtful: Collection[str] = ()
    aliases: Mapping[str, str] = MappingProxyType({})


class Use(NamedTuple):
    """One place where a name is used, as a value or as a key."""

    name: str
    path: Path
    at_key: bool = False

    @property
    def spot(self) -> Path:
        """What is broken where the name is wrong: of a key, nothing that stands under it."""
        return (*self.path, _KEY) if self.at_key else self.path


_KEY = "\0"


class Naming:
    """Judges names, and remembers what the wrong ones are taken for.

    Args:
        diagnostics: Gets the problems. The place of a name that nothing has counts as broken,
            unless it is right, and what it names is wrong.
    """

    def __init__(self, diagnostics: Diagnostics) -> None:
        self.diagnostics = diagnostics
        self.meaning: dict[Path, str] = {}
        self.is_damaged = bool(diagnostics.broken)
        self._guesses = 0

    def read(self, name: str, path: Path, at_key: bool = False) -> str | None:
        """What the name at a place means; None where that cannot be said."""
        spot = Use(name, path, at_key).spot
        meant = self.meaning.get(spot)
        return meant if meant is not None or self._is_broken(spot) else name

    def nearest(self, name: str, known: Iterable[str]) -> str | None:
        """The known name that was probably meant."""
        self._guesses += 1
        return nearest(name, islice(known, 1000)) if self._guesses <= MOST_GUESSES else None

    def _is_broken(self, spot: Path) -> bool:
        under_key = spot[-1] == _KEY
        return spot in self.diagnostics.broken or self.diagnostics.is_broken(
            spot[:-2] if under_key else spot
        )

    def take_for(self, use: Use, meant: str) -> None:
        """Take a name that is told already for another."""
        self.meaning[use.spot] = meant

    def settle(
        self,
        known: Known,
        uses: Iterable[Use],
        sentence: Callable[[str, str], str],
        only_one: bool = True,
        are_shared: bool = False,
    ) -> None:
        """Tell of names that nothing has, and take each for what it most likely means.

        A name that something may have after all, whose own name cannot be read, is not told.

        Args:
            known: What may be named.
            uses: Where it is named.
            sentence: What is to be said of a name; gets a hint that may follow.
            only_one: Whether a name that is like no other is taken for the only unused one.
            are_shared: Whether one thing is named in several places as a rule, so that a slip may
                mean what is used elsewhere too.
        """
        places: dict[str, list[Use]] = {}
        for use in uses:
            if not self._is_broken(use.spot):
                places.setdefault(use.name, []).append(use)
        strange = {name: found for name, found in places.items() if name not in known.names}
        for name in strange.keys() & known.aliases.keys():
            self._mark(strange.pop(name), known.aliases[name], "")
        if not strange:
            return
        sure = [name for name in known.names if name not in known.doubtful]
        near_to = {name: self.nearest(name, sure) for name in strange}
        is_careful = self.is_careful(known)
        slips = {n: m for n, m in near_to.items() if not is_careful or (m and is_slip(n, m))}
        taken = _matched(slips, {name for name in sure if name not in places})
        if are_shared:
            taken |= {n: m for n, m in near_to.items() if n not in taken and m and is_slip(n, m)}
        left = sorted(
            (name for name in strange if name not in taken),
            key=lambda name: (-len(strange[name]), _likeness(name, near_to[name])),
        )
        excused = self._excused(left, known)
        free = [name for name in sure if name not in places and name not in taken.values()]
        may_be_another = known.lost or known.doubtful
        if only_one and len(left) == len(free) == 1 and not may_be_another:
            taken[left[0]] = free[0]
        for name, found in strange.items():
            told = "" if name in excused else sentence(name, hint(near_to[name], sure))
            self._mark(found, taken.get(name) or excused.get(name), told)

    def is_careful(self, known: Known) -> bool:
        """Whether a name that nothing uses may be used where nobody can read it."""
        return self.is_damaged or known.lost > 0 or bool(known.doubtful)

    def _excused(self, names: Sequence[str], known: Known) -> dict[str, str | None]:
        """The names that may belong to what cannot be read, and what that may be.

        Args:
            names: Those that are most likely such names come first.
            known: What can be read.
        """
        lost = known.lost + len(known.doubtful)
        if not lost or math.isinf(lost):
            return dict.fromkeys(names) if lost else {}
        names = names[: int(min(lost, len(names)))]
        free = list(known.doubtful)
        return {
            name: (self.nearest(name, free) or (free[0] if len(free) == 1 else None))
            for name in names
        }

    def _mark(self, uses: list[Use], meant: str | None, message: str) -> None:
        for use in uses:
            if message:
                self.diagnostics.note(message, use.path, use.at_key)
            if message or meant is None:
                self.diagnostics.broken.add(use.spot)
            if meant is not None:
                self.meaning[use.spot] = meant


def hint(meant: str | None, known: Collection[str]) -> str:
    """A clause that names what was probably meant, or lists what there is.

    >>> hint("train", ["train", "val"])
    '; did you mean "train"?'
    """
    if meant is not None:
        return f'; did you mean "{meant}"?'
    if not known:
        return ""
    return f"; there {'is' if len(known) == 1 else 'are'} {listing(sorted(known))}"


def _matched(near_to: dict[str, str | None], free: set[str]) -> dict[str, str]:
    """Names that are taken for another that nothing else uses, each of these once."""
    taken: dict[str, str] = {}
    for name in sorted(near_to, key=lambda name: -_likeness(name, near_to[name])):
        meant = near_to[name]
        if meant is not None and meant in free:
            taken[name] = meant
            free.discard(meant)
    return taken


def _likeness(name: str, other: str | None) -> float:
    return SequenceMatcher(None, name, other).ratio() if other is not None else -math.inf
