"""What names mean: which of them nothing has, and what those are taken for."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import islice
from types import MappingProxyType
from typing import Any, NamedTuple

from torchassistant.config.checks.unknown import Unknown
from torchassistant.config.diagnostics import Diagnostics
from torchassistant.config.tree import Path
from torchassistant.errors import is_slip, listing, nearest

MOST_GUESSES = 100
"""Comparing names is dear; where so many are wrong, nobody is helped by one guess more."""


class Names(NamedTuple):
    """The names that may be used somewhere.

    Args:
        names: Those that are there, in the order of the config.
        unreadable: How many more there may be that cannot be read.
        unsure: Those of ``names`` that may stand for others.
        aliases: Other names that are meant by some of ``names``, and right in themselves.
    """

    names: Collection[str]
    unreadable: float = 0
    unsure: Collection[str] = ()
    aliases: Mapping[str, str] = MappingProxyType({})

    @property
    def complete(self) -> bool:
        """Whether there are no others."""
        return not self.unreadable

    @property
    def only(self) -> Any:
        """The only name that there may be; unknown where there are others."""
        is_one = len(self.names) == 1 and self.complete
        return next(iter(self.names)) if is_one else Unknown()

    def __or__(self, other: Names) -> Names:
        """These names, and others."""
        return Names(
            {**dict.fromkeys(self.names), **dict.fromkeys(other.names)},
            self.unreadable + other.unreadable,
            {**dict.fromkeys(self.unsure), **dict.fromkeys(other.unsure)},
            {**self.aliases, **other.aliases},
        )


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


class Resolver:
    """Resolves names, and remembers what the wrong ones are taken for.

    Args:
        diagnostics: Gets the problems. The place of a name that nothing has counts as broken,
            unless it is right, and what it names is wrong.
    """

    def __init__(self, diagnostics: Diagnostics) -> None:
        self.diagnostics = diagnostics
        self.is_damaged = bool(diagnostics.broken)
        self._meaning: dict[Path, str] = {}
        self._guesses = 0

    def meaning(self, use: Use) -> Any:
        """What stands at a place: of a name, what it means. Unknown where that cannot be said."""
        if use.spot in self._meaning:
            return self._meaning[use.spot]
        return Unknown() if self._is_broken(use) else use.name

    def written(self, use: Use) -> Any:
        """What is written at a place; unknown where it is reported, whatever it is taken for."""
        return Unknown() if self._is_broken(use) else use.name

    def nearest(self, name: str, known: Iterable[str]) -> str | None:
        """The known name that was probably meant."""
        self._guesses += 1
        return nearest(name, islice(known, 1000)) if self._guesses <= MOST_GUESSES else None

    def _is_broken(self, use: Use) -> bool:
        if not use.at_key:
            return self.diagnostics.is_broken(use.path)
        # A key may be wrong though what stands under it is not.
        return use.spot in self.diagnostics.broken or self.diagnostics.is_broken(use.path[:-1])

    def excuse(self, paths: Iterable[Path]) -> None:
        """Say nothing of names that may belong to what cannot be read."""
        self.diagnostics.broken.update(paths)

    def take_for(self, use: Use, meant: str) -> None:
        """Take a name that is reported already for another."""
        self._meaning[use.spot] = meant

    def resolve(
        self,
        known: Names | Unknown,
        uses: Iterable[Use],
        sentence: Callable[[str, str], str],
        only_one: bool = True,
        is_shared: bool = False,
    ) -> None:
        """Report names that nothing has, and take each for what it most likely means.

        A name that something may have after all, whose own name cannot be read, is not reported.

        Args:
            known: What may be named; where nobody knows that, nothing is reported.
            uses: Where it is named.
            sentence: What is to be said of a name; gets a hint that may follow.
            only_one: Whether a name that is like no other is taken for the only unused one.
            is_shared: Whether one thing is named in several places as a rule, so that a slip may
                mean what is used elsewhere too.
        """
        if isinstance(known, Unknown):
            return
        places: dict[str, list[Use]] = {}
        for use in uses:
            if not self._is_broken(use):
                places.setdefault(use.name, []).append(use)
        undefined = {name: found for name, found in places.items() if name not in known.names}
        for name in undefined.keys() & known.aliases.keys():
            self._mark(undefined.pop(name), known.aliases[name], "")
        if not undefined:
            return
        sure = [name for name in known.names if name not in known.unsure]
        near_to = {name: self.nearest(name, sure) for name in undefined}
        is_careful = self.is_careful(known)
        slips = {n: m for n, m in near_to.items() if not is_careful or (m and is_slip(n, m))}
        taken = _matched(slips, {name for name in sure if name not in places})
        if is_shared:
            taken |= {n: m for n, m in near_to.items() if n not in taken and m and is_slip(n, m)}
        left = sorted(
            (name for name in undefined if name not in taken),
            key=lambda name: (-len(undefined[name]), _likeness(name, near_to[name])),
        )
        excused = self._excused(left, known)
        free = [name for name in sure if name not in places and name not in taken.values()]
        may_be_another = known.unreadable or known.unsure
        if only_one and len(left) == len(free) == 1 and not may_be_another:
            taken[left[0]] = free[0]
        for name, found in undefined.items():
            message = "" if name in excused else sentence(name, hint(near_to[name], sure))
            self._mark(found, taken.get(name) or excused.get(name), message)

    def is_careful(self, known: Names) -> bool:
        """Whether a name that nothing uses may be used where nobody can read it."""
        return self.is_damaged or known.unreadable > 0 or bool(known.unsure)

    def _excused(self, names: Sequence[str], known: Names) -> dict[str, str | None]:
        """The names that may belong to what cannot be read, and what that may be.

        Args:
            names: Those that are most likely such names come first.
            known: What can be read.
        """
        missing = known.unreadable + len(known.unsure)
        if not missing or math.isinf(missing):
            return dict.fromkeys(names) if missing else {}
        names = names[: int(min(missing, len(names)))]
        free = list(known.unsure)
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
                self._meaning[use.spot] = meant


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
