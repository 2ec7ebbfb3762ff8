"""Arguments of loaders, as far as they are plain data.

torch reports only one of them, when the loader is built. Which there are is for torch to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from torchassistant.config.checks.scope import Scope
from torchassistant.config.checks.unknown import Unknown
from torchassistant.config.checks.view import View
from torchassistant.config.misfit_messages import shown_value
from torchassistant.config.named_objects import is_object


class _Rule(NamedTuple):
    """What may be given for an argument: a test, and words for it."""

    fits: Callable[[Any], bool]
    words: str


_MOST_WORKERS = 4096
"""Processes: more than any machine is given, and fewer than any is brought down by."""
_LONGEST = 10**9
"""Seconds, some thirty years."""


def _is_count(value: Any, least: int, below: int = 2**63) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < below


_SWITCH = _Rule(lambda value: not isinstance(value, (str, list, dict)), "true or false")
_RULES = {
    "batch_size": _Rule(
        lambda value: value is None or _is_count(value, 1),
        "a whole number of at least 1 and below 2^63, or null",
    ),
    "num_workers": _Rule(
        lambda value: value == "auto" or (isinstance(value, int) and 0 <= value <= _MOST_WORKERS),
        f'a whole number from 0 to {_MOST_WORKERS}, or "auto"',
    ),
    "prefetch_factor": _Rule(
        lambda value: value is None or _is_count(value, 1, 2**31),
        "a whole number of at least 1 and below 2^31, or null",
    ),
    "timeout": _Rule(
        lambda value: isinstance(value, (int, float)) and 0 <= value <= _LONGEST,
        f"a number of seconds from 0 to {_LONGEST:,}",
    ),
    "drop_last": _Rule(lambda value: isinstance(value, bool), "true or false"),
    "shuffle": _SWITCH,
    "pin_memory": _SWITCH,
    "persistent_workers": _SWITCH,
    "in_order": _SWITCH,
}


def check_loaders(scope: Scope) -> None:
    """Check the arguments of each loader factory: each by itself, and then together."""
    loaders = [
        definition
        for definition in scope.config.initialize.definitions
        if definition.block.group == "loader_factories"
    ]
    for definition in loaders:
        _arguments(scope, definition)
    if scope.are_complete("loader_factories"):
        _shuffle_groups(scope, loaders)


def _arguments(scope: Scope, definition: View) -> None:
    kwargs, path = definition.block.spec.kwargs, definition.at("spec", "kwargs")
    for key, rule in _RULES.items():
        value = kwargs.get(key)
        if key in kwargs and not is_object(value) and not rule.fits(value):
            message = f"expected {rule.words}, found {shown_value(value)}"
            scope.diagnostics.broke(message, (*path, key))
    clashes = [
        *_clashes(kwargs),
        *(_with_contiguous(kwargs) if definition.block.spec.contiguous else ()),
    ]
    for key, message in clashes:
        keys = [key, *(other for other in kwargs if f'"{other}"' in message)]
        if all(definition.is_whole("spec", "kwargs", one) for one in keys):
            scope.note(message, (*path, key), at_key=True)


def _shuffle_groups(scope: Scope, loaders: list[View]) -> None:
    """A group has several loaders: alone, a loader has no order to share."""
    groups: dict[Any, list[View]] = {}
    for definition in loaders:
        groups.setdefault(definition.spec.shuffle_group, []).append(definition)
    groups.pop(None, None)
    if any(isinstance(name, Unknown) for name in groups):
        return
    excused = set()
    for name in reversed([name for name, members in groups.items() if len(members) == 1]):
        meant = scope.resolver.nearest(name, [other for other in groups if other != name])
        if name not in excused:
            hint = f'; did you mean "{meant}"?' if meant else ""
            message = f'no other loader factory is of the shuffle group "{name}"{hint}'
            scope.note(message, groups[name][0].at("spec", "shuffle_group"))
        excused.add(meant)


def _with_contiguous(kwargs: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Arguments that do not go with an order that is settled already."""
    for key in ("shuffle", "sampler", "batch_sampler"):
        if kwargs.get(key):
            yield key, f'"{key}" cannot be combined with "contiguous", which is an order itself'
    if kwargs.get("drop_last") is False:
        yield "drop_last", '"contiguous" leaves out what is no whole batch'
    if kwargs.get("batch_size", 1) is None:
        yield "batch_size", '"contiguous" is for batches, and "batch_size" is null'


def _clashes(kwargs: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Arguments that cannot be given beside others, each with what is to be said."""
    if kwargs.get("num_workers", 0) == 0:
        for key in ("prefetch_factor", "persistent_workers"):
            if kwargs.get(key):
                yield key, f'"{key}" is for workers, and "num_workers" is 0'
    if kwargs.get("batch_size", 1) is None and kwargs.get("drop_last"):
        yield "drop_last", '"drop_last" is for batches, and "batch_size" is null'
    if kwargs.get("batch_sampler"):
        for key, default in (("batch_size", 1), ("shuffle", None), ("sampler", None)):
            if kwargs.get(key, default) not in (default, False):
                yield key, f'"{key}" cannot be combined with "batch_sampler"'
        if kwargs.get("drop_last"):
            yield "drop_last", '"drop_last" cannot be combined with "batch_sampler"'
    elif kwargs.get("sampler") and kwargs.get("shuffle"):
        yield "shuffle", '"shuffle" cannot be combined with "sampler"'
