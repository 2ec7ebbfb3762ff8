"""In which order definitions are built."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from torchassistant.config import (
    Key,
    Reference,
    Spec,
    asks_the_session,
    needed_by,
    postorder,
    reachable,
    target,
)


def build_order(
    definitions: Mapping[Key, Any],
    wanted: Iterable[Key] | None = None,
    is_needed: Callable[[Key, Reference], bool] = lambda key, reference: True,
) -> list[Key]:
    """The order that the names demand; where they demand none, the order of the config.

    What gets the session is built after everything written above it, as its code may look at any
    of that; except what is itself built after the definition at hand.

    Args:
        definitions: By key, in the order of the config. No cycles.
        wanted: Only these, and what they need; None is all.
        is_needed: Whether a definition is built with what this reference of it names.
    """
    needs = {
        key: [
            found
            for reference in needed_by(definition)
            if is_needed(key, reference) and (found := target(reference, definitions))
        ]
        for key, definition in definitions.items()
    }
    place = {key: index for index, key in enumerate(definitions)}
    users: dict[Key, list[Key]] = {key: [] for key in definitions}
    for key, named in needs.items():
        for one in named:
            users[one].append(key)
    for key, definition in definitions.items():
        if asks_the_session(definition.spec):
            without = reachable(key, users)
            above = [one for one in islice(definitions, place[key]) if one not in without]
            needs[key] += above
            for one in above:
                users[one].append(key)
    roots = definitions if wanted is None else sorted(set(wanted), key=place.__getitem__)
    return list(postorder(roots, needs.__getitem__))


def needed_for(spec: Spec, wanted: Iterable[Key]) -> list[Key]:
    """Some definitions of a config that is checked, and what they need."""
    definitions = {Key(d.group, d.name): d for d in spec.initialize.definitions}
    known = [key for key in wanted if key in definitions]
    return build_order(definitions, known)
