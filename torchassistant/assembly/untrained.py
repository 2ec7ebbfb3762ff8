"""Models that nothing trains: which of them certainly have nothing to train."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from torch import nn

from torchassistant.assembly.allowlist import Allowlist
from torchassistant.assembly.importing import NotFound, find
from torchassistant.config import Diagnostics, Key, Spec, objects_in

_HARMLESS = (
    "builtins", "math", "numpy", "torch", "functools", "itertools", "collections", "typing",
    "warnings", "_warnings",
)  # fmt: skip
"""What comes from there makes no parameter, if it is not given one; ``torch.nn`` is looked into."""


_WITHOUT_STATE = ("torch.nn.functional", "torch.nn.init", "torch.nn.modules.utils")


def report_untrained(spec: Spec, diagnostics: Diagnostics, allowlist: Allowlist) -> None:
    """Warn of models that no optimizer trains, but for those that have no parameters.

    Args:
        spec: The config; what is named in it has been imported.
        diagnostics: Knows the models that nothing trains, and gets the warnings.
        allowlist: Decides what may be imported.
    """
    models = spec.group("models")
    for name, path in diagnostics.untrained:
        objects = list(objects_in(models[name], path, "models"))
        if any(_may_learn_by_name(o.name, o.spec.class_ is None, allowlist) for o in objects):
            diagnostics.warn(f'no optimizer trains the model "{name}"{_hint(spec, name)}', path)


def _hint(spec: Spec, model: str) -> str:
    """What an optimizer that is for the model lacks."""
    optimizers = spec.group("optimizers").items()
    own = [name for name, one in optimizers if one.trains(Key("models", model))]
    return f': no node that runs it names its optimizer "{own[0]}"' if own else ""


def _may_learn_by_name(name: str, is_made_by_function: bool, allowlist: Allowlist) -> bool:
    try:
        found = find(name, (), allowlist)
    except NotFound:
        return True
    return is_made_by_function or _may_learn(found, set())


def _may_learn(value: Any, seen: set[Any]) -> bool:
    """Whether something that code names may bring parameters into a model."""
    if isinstance(value, type) and issubclass(value, nn.Module):
        if value in seen:
            return False
        seen.add(value)
        kinds = value.__mro__[: value.__mro__.index(nn.Module)]
        makers = [vars(kind).get("__init__") for kind in kinds]
        # Layers that are built when they first run tell of that in their names only.
        is_lazy = any("Lazy" in kind.__name__ for kind in kinds)
        return is_lazy or any(_code_may(maker, value, seen) for maker in makers if maker)
    if value is nn.Parameter or isinstance(value, nn.Parameter | nn.Module):
        return True
    if isinstance(value, ModuleType) or not callable(value):
        return False
    module = getattr(value, "__module__", None) or type(value).__module__
    is_of_layers = module.startswith(("torch.nn.", "torch.hub")) and module not in _WITHOUT_STATE
    return is_of_layers or module.partition(".")[0] not in _HARMLESS


def _code_may(maker: Any, kind: type, seen: set[Any]) -> bool:
    if not isinstance(maker, FunctionType):
        return True
    known = maker.__globals__
    names = set(_names_in(maker.__code__))
    modules = [known[name] for name in names if isinstance(known.get(name), ModuleType)]
    for name in names - {"super", "__init__"}:
        if name == "register_parameter":
            return True
        method = getattr(kind, name, None)
        is_own = isinstance(method, FunctionType) and method.__module__ != nn.Module.__module__
        if is_own and method not in seen:
            seen.add(method)
            if _code_may(method, kind, seen):
                return True
        meant = [getattr(module, name) for module in modules if hasattr(module, name)]
        meant += [known[name]] if name in known else [getattr(builtins, name, None)]
        if any(_may_learn(value, seen) for value in meant):
            return True
    return False


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    yield from (name for name in code.co_freevars if name != "__class__")
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)
