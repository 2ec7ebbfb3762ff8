"""Whether all that a config names is certainly right, as far as its source code tells.

Where something else is wrong already, and this holds, that can be told at once: nothing has to be
imported to find more.
"""

from __future__ import annotations

import ast
import inspect
from typing import Any

from torchassistant.config.named_objects import Described, objects_in
from torchassistant.config.search_paths import HOMES
from torchassistant.config.source_inspection import (
    Found,
    find_source,
    has_method,
    is_derived,
    signature_of,
)
from torchassistant.config.spec import Spec
from torchassistant.ownership import Ownership

_MODULE = ("torch.nn.Module", "torch.nn.modules.module.Module")
_BASES = {
    "models": _MODULE,
    "optimizers": ("torch.optim.Optimizer", "torch.optim.optimizer.Optimizer"),
    "lr_scheduler": ("torch.optim.lr_scheduler.LRScheduler",),
}
_METHODS = {"datasets": "__getitem__", "preprocessors": "process", "metrics": "update"}
_BARE = ("torchassistant.metrics.Accuracy",)
"""Classes whose source does not tell their arguments, and that need none."""

_GIVEN = {"optimizers": 1, "lr_scheduler": 1, "post_processor": 1}
_LIBRARIES = (
    "torch.nn.",
    "torch.optim.",
    "torchassistant.",
    "torchvision.datasets.",
    "torchvision.transforms.",
)


def all_certain(spec: Spec) -> bool:
    """Whether every object of a config is certainly there, fits, and gets arguments that fit."""
    if any(definition.spec.kwargs for definition in _loaders(spec)):
        usual = {"batch_size", "shuffle", "num_workers", "drop_last", "pin_memory"}
        if not all(set(definition.spec.kwargs) <= usual for definition in _loaders(spec)):
            return False
    defined = (objects_in(d.spec, (), d.group) for d in spec.initialize.definitions)
    others = (
        objects_in(spec.train.stages, (), ""),
        objects_in(spec.initialize.debug_pipelines, (), ""),
    )
    return all(_is_certain(found) for objects in (*defined, *others) for found in objects)


def _loaders(spec: Spec) -> list[Any]:
    return [d for d in spec.initialize.definitions if d.group == "loader_factories"]


def _is_certain(described: Described) -> bool:
    if described.kind != "object":
        return False
    found = _found(described)
    if found is None or not _is_allowed(found):
        return False
    is_function = isinstance(found.node, ast.FunctionDef)
    if described.spec.class_ is None:
        given = 2 if described.role == "lr_scheduler" and not described.nested else 1
        return is_function and _fits(found, described, given)
    if is_function:
        # A function may be the object itself; only importing tells what is meant.
        return described.role == "transform" and not described.nested
    if not described.nested and not _is_of_kind(found, described.role):
        return False
    return _fits(found, described, 0 if described.nested else _GIVEN.get(described.role, 0))


def _found(described: Described) -> Found | None:
    if "." in described.name:
        return find_source(described.name)
    for home in HOMES.get(described.role, ()):
        found = find_source(f"{home}.{described.name}")
        if found is not None:
            return found
    return None


def _is_allowed(found: Found) -> bool:
    """Whether it is below the working directory, or in what any config may name."""
    if found.module.startswith(_LIBRARIES):
        return not found.name.startswith("_")
    return Ownership().is_local(str(found.file))


def _is_of_kind(found: Found, role: str) -> bool:
    if role in _BASES:
        return is_derived(found, _BASES[role])
    if role in _METHODS:
        return has_method(found, _METHODS[role])
    return is_derived(found, _MODULE) or has_method(found, "__call__")


def _fits(found: Found, described: Described, given: int) -> bool:
    signature = signature_of(found)
    args, kwargs = described.spec.args, described.spec.kwargs
    if signature is None:
        return found.full_name in _BARE and not args and not kwargs
    if described.role == "lr_scheduler" and described.nested:
        return False
    try:
        signature.bind(*range(given), *args, **kwargs)
    except TypeError:
        return False
    # Keys that go into **kwargs are not seen by the signature.
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    return inspect.Parameter.VAR_KEYWORD not in kinds or set(kwargs) <= set(signature.parameters)
