"""Which models the user's own objects may call, beside those that the config gives to nodes."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import nn

from torchassistant.data import CODE, LEAVES, inside

_LONGEST, _MOST = 100, 20_000


def models_reached(
    objects: Iterable[Any], session: object, models: Mapping[str, nn.Module]
) -> list[nn.Module]:
    """The modules that objects hold, wherever they hold them.

    Attributes, closures, lists and the like are followed, and the names of a module of the user
    that its functions use.

    Args:
        objects: Adapters, object processors, losses; None is passed over.
        session: What a ``factory_fn`` gets. Who holds on to it may call any model.
        models: All models of the session, by name.

    Returns:
        The outermost modules, each once.
    """
    waiting: list[Any] = list(objects)[::-1]
    seen: set[int] = set()
    covered: set[int] = set()
    found: list[nn.Module] = []
    while waiting and len(seen) < _MOST:
        value = waiting.pop()
        if isinstance(value, (*LEAVES, *CODE)) or id(value) in seen:
            continue
        seen.add(id(value))
        if value is session:
            waiting += models.values()
            continue
        if isinstance(value, nn.Module) and id(value) not in covered:
            found.append(value)
            covered.update(id(part) for part in value.modules())
        waiting += [*_named_in_code(value), *(item for _, item in inside(value, _LONGEST))][::-1]
    return found


def _named_in_code(value: Any) -> Iterator[Any]:
    """What the code of a function, or of a callable object, names in its own module."""
    if isinstance(value, types.MethodType):
        value = value.__func__
    elif not isinstance(value, types.FunctionType):
        kind = type(value)
        value = getattr(kind, "forward" if issubclass(kind, nn.Module) else "__call__", None)
    if isinstance(value, types.FunctionType):
        known = value.__globals__
        yield from (known[name] for name in value.__code__.co_names if _is_object(known.get(name)))


def _is_object(value: Any) -> bool:
    """Whether a global is an object or a function, and no module or class."""
    return value is not None and not isinstance(value, (types.ModuleType, type))
