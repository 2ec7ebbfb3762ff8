"""Whether arguments fit what is to be called, before it is called."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from torchassistant.config.tree import Path
from torchassistant.errors import listing, near, nearest

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Misfit(NamedTuple):
    """An argument that does not fit: a sentence, and where it stands below the object.

    Args:
        message: What is wrong.
        path: From the object, as ``("kwargs", "lr")``.
        at_key: Whether the key is at fault, and not its value.
    """

    message: str
    path: Path = ()
    at_key: bool = False


def misfits(
    target: Any, given: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Iterator[Misfit]:
    """Every argument that the signature lacks, every one that is missing, or given twice.

    Args:
        target: What is to be called. Where Python cannot tell its signature, nothing is said.
        given: The names of arguments that come before those of the config.
        args: Those of the config, by position.
        kwargs: Those of the config, by name.
    """
    try:
        parameters = list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError):
        return
    name = getattr(target, "__qualname__", str(target))
    kinds = {parameter.kind for parameter in parameters}
    places = [p.name for p in parameters if p.kind in _BY_POSITION]
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        yield from _too_many(name, places, given, args)
    taken = dict(zip(places, [*given, *("args" for _ in args)], strict=False))
    names = [p.name for p in parameters if p.kind in _BY_NAME]
    takes_any = inspect.Parameter.VAR_KEYWORD in kinds
    unknown = [key for key in kwargs if key not in names and not takes_any]
    for key in kwargs:
        if key in taken and key in names:
            source = 'in "args"' if taken[key] == "args" else f"as {taken[key]}, by the program"
            yield Misfit(f'{name} gets "{key}" twice: here, and {source}', ("kwargs", key), True)
        elif key in unknown:
            hint = near(key, [n for n in names if n not in taken])
            yield Misfit(f'{name} has no argument "{key}"{hint}', ("kwargs", key), True)
    missing = [
        p.name
        for p in parameters
        if p.kind in (*_BY_POSITION, *_BY_NAME)
        and p.default is inspect.Parameter.empty
        and p.name not in taken
        and p.name not in kwargs
    ]
    meant = {nearest(key, missing) for key in unknown}
    missing = [parameter for parameter in missing if parameter not in meant]
    if missing:
        what = "the argument" if len(missing) == 1 else "the arguments"
        yield Misfit(f"{name} needs {what} {listing(missing)}")


def _too_many(
    name: str, places: Sequence[str], given: Sequence[str], args: Sequence[Any]
) -> Iterator[Misfit]:
    room = len(places) - len(given)
    if room < 0:
        yield Misfit(f"{name} has no argument for {given[len(places)]}, which it would be given")
    elif len(args) > room:
        count = "no argument" if not room else f"{room} argument{'s' if room > 1 else ''}"
        message = f"{name} takes {count} by position, found {len(args)}"
        yield Misfit(message, ("args", room))
