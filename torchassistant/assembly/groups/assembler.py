"""From a definition to its live object: the part of a group's declaration that knows torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from torchassistant.assembly.build_context import BuildContext, Defined, FittedArtifacts
from torchassistant.assembly.parts import Parts
from torchassistant.config import GROUPS, Key


class Member(NamedTuple):
    """An object of a definition that may be the user's own and takes part in the training.

    Args:
        id: Stays, as checkpoints hold it: the group and the name, with where in there it stands.
        item: The object, or what holds it.
        draws: Whether its random number generators are stored.
        stored: Whether its state, if it has one, stands in the section of its group.
        runs: Whether it is run with a batch, so that it may change then.
    """

    id: str
    item: Any
    draws: bool = True
    stored: bool = True
    runs: bool = True


def all_needed(fitted: FittedArtifacts, name: str) -> tuple[str, ...]:
    """For what is built with everything that it names."""
    return ()


class Assembler(NamedTuple):
    """How definitions of a group become live.

    Args:
        build: What becomes of one definition; all that it names is built already.
        members: What of it may have a state; gets what is built, and the definition's name.
        unneeded: Keys of the block of a definition: what they name need not be built for it, as
            what it was for is stored.
    """

    build: Callable[[BuildContext, Defined], Any]
    members: Callable[[Parts, str], Iterator[Member]]
    unneeded: Callable[[FittedArtifacts, str], tuple[str, ...]] = all_needed


def build_object(context: BuildContext, one: Defined) -> Any:
    """The object that a definition describes, given what the keys of ``Group.gets`` name."""
    group = GROUPS[one.key.group]
    named = {reference.path[0]: reference for reference in group.references(one.spec)}
    return context.object_of(one, [context.parts.named(named[key]) for key in group.gets])


def itself(group: str, **flags: bool) -> Callable[[Parts, str], Iterator[Member]]:
    """What was built is the member."""

    def members(parts: Parts, name: str) -> Iterator[Member]:
        yield Member(f"{group}/{name}", parts.built(Key(group, name)), **flags)

    return members


def no_members(parts: Parts, name: str) -> Iterator[Member]:
    """For what holds only what has ids of its own."""
    yield from ()
