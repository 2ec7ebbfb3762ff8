"""From the names in a source of weights to those in a model: renamed, put below a path, chosen."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from itertools import islice
from typing import NamedTuple

from torchassistant.config import ModelWeightsSpec, Path
from torchassistant.errors import SessionError, UserError, listing, near, nearest


class Unmatched(NamedTuple):
    """Something that has no effect.

    Args:
        path: Where it stands in the block.
        message: What it is.
    """

    path: Path
    message: str


class Named(NamedTuple):
    """The names of a source as they are in the model.

    Args:
        taken: By name in the model, the name in the source.
        left: The same of what ``include`` and ``exclude`` leave out.
        unmatched: What fits no name.
    """

    taken: Mapping[str, str]
    left: Mapping[str, str]
    unmatched: list[Unmatched]


def one_named(
    named: str | None, default: str, known: Collection[str], noun: str, shown: str
) -> str:
    """The definition of a session, or of an exported file, that is meant.

    Args:
        named: What the config says; None: the one of the same name, or the only one.
        default: The name of what it is for.
        known: What there is.
        noun: What one of them is called.
        shown: The session or file in messages.

    Raises:
        SessionError: There is none of that name, or nobody knows which is meant.
    """
    meant = named or (default if default in known else "")
    if not meant and len(known) == 1:
        (meant,) = known
    if meant in known:
        return meant
    if not meant:
        raise SessionError(f'"{noun}" has to say which one of {shown}{near(default, known)}')
    raise SessionError(f'no {noun} is named "{meant}" in {shown}{near(meant, known)}')


def named(spec: ModelWeightsSpec, source: Iterable[str]) -> Named:
    """What becomes of the names of a source.

    ``exclude`` may also name what the source lacks: it says that this stays as it is.

    Raises:
        UserError: Two of them become one.
    """
    unmatched: list[Unmatched] = []
    names = {name: name for name in source}
    for index, (pattern, replacement) in enumerate(spec.rename):
        find = re.compile(pattern)
        if not any(find.search(name) for name in names.values()):
            message = f'no name in {spec.shown} matches "{pattern}"{_such_as(names.values())}'
            unmatched.append(Unmatched(("rename", index, 0), message))
        names = {own: find.sub(replacement, name) for own, name in names.items()}
    found: dict[str, str] = {}
    for own, renamed in names.items():
        name = f"{spec.into}.{renamed}" if spec.into else renamed
        if name in found:
            raise UserError(f'"{found[name]}" and "{own}" would both be "{name}"')
        found[name] = own
    for index, pattern in enumerate(spec.include or ()):
        if not any(fnmatchcase(name, pattern) for name in found):
            unmatched.append(Unmatched(("include", index), _no_name(spec, pattern, found)))
    taken = {name: own for name, own in found.items() if reaches(spec, name)}
    left = {name: own for name, own in found.items() if name not in taken}
    return Named(taken, left, unmatched)


def reaches(spec: ModelWeightsSpec, name: str) -> bool:
    """Whether a source is meant to give what has this name in the model."""
    is_inside = spec.into is None or name.startswith(f"{spec.into}.")
    is_included = spec.include is None or any(fnmatchcase(name, p) for p in spec.include)
    return is_inside and is_included and not any(fnmatchcase(name, p) for p in spec.exclude or ())


def idle_patterns(
    spec: ModelWeightsSpec, known: Collection[str], model: Iterable[str]
) -> list[Unmatched]:
    """The globs of ``exclude`` that match nothing.

    Args:
        spec: The source.
        known: Its names, as they are in the model.
        model: Those of the model.
    """
    names = {*known, *model}
    return [
        Unmatched(("exclude", index), _no_name(spec, pattern, known))
        for index, pattern in enumerate(spec.exclude or ())
        if not any(fnmatchcase(name, pattern) for name in names)
    ]


def _no_name(spec: ModelWeightsSpec, pattern: str, known: Collection[str]) -> str:
    hint = _such_as(known) if nearest(pattern, known) is None else near(pattern, known)
    return f'no name of {spec.shown}, as it would be in the model, matches "{pattern}"{hint}'


def _such_as(names: Iterable[str]) -> str:
    some = list(islice(names, 3))
    return f"; it has names as {listing(some)}" if some else "; it has none"
