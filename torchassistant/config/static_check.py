"""Whether all that a config names is certainly right, as far as its source code shows.

Where something else is wrong already, and this holds, that can be reported at once: nothing has to
be imported to find more.
"""

from __future__ import annotations

import ast
import inspect
from typing import Any

from torchassistant.config.named_objects import Described, objects_in
from torchassistant.config.role import CALLABLE, MODULE_BASES, Role
from torchassistant.config.roles import role_named
from torchassistant.config.source_inspection import (
    Found,
    find_source,
    has_method,
    is_derived,
    signature_of,
)
from torchassistant.config.spec import Spec
from torchassistant.ownership import Ownership

_BARE = ("torchassistant.metrics.Accuracy",)
"""Classes whose source does not tell their arguments, and that need none."""

_LIBRARIES = (
    "torch.nn.",
    "torch.optim.",
    "torchassistant.",
    "torchmetrics.classification.",
    "torchvision.datasets.",
    "torchvision.transforms.",
)


def passes_static_check(spec: Spec) -> bool:
    """Whether every object of a config is certainly there, fits, and gets arguments that fit."""
    if any(definition.spec.kwargs for definition in _loaders(spec)):
        usual = {"batch_size", "shuffle", "num_workers", "drop_last", "pin_memory"}
        if not all(set(definition.spec.kwargs) <= usual for definition in _loaders(spec)):
            return False
    defined = (objects_in(d.spec, (), d.group) for d in spec.initialize.definitions)
    others = (
        objects_in(spec.train.stages, (), ""),
        objects_in(spec.initialize.pipelines, (), ""),
        objects_in(spec.initialize.debug_pipelines, (), ""),
    )
    return all(_passes(found) for objects in (*defined, *others) for found in objects)


def _loaders(spec: Spec) -> list[Any]:
    return [d for d in spec.initialize.definitions if d.group == "loader_factories"]


def _passes(described: Described) -> bool:
    if described.kind != "object":
        return False
    role = role_named(described.role)
    found = _found(described, role)
    if found is None or not _is_allowed(found):
        return False
    is_function = isinstance(found.node, ast.FunctionDef)
    if described.spec.class_ is None:
        given = 1 if described.nested else 1 + len(role.after_session)
        return is_function and _fits(found, described, given)
    if is_function:
        # Whether it is the object itself, often only importing tells.
        return not described.nested and (
            described.role == "transform" or (role.or_itself and _is_itself(found, described))
        )
    if described.nested:
        # Whether it gets what the outermost object is given, only importing tells.
        return not role.only_as and _fits(found, described, 0)
    return _plays(found, role) and _fits(found, described, len(role.given))


def _found(described: Described, role: Role) -> Found | None:
    if "." in described.name:
        return find_source(described.name)
    for module in role.search_paths:
        found = find_source(f"{module}.{described.name}")
        if found is not None:
            return found
    return None


def _is_allowed(found: Found) -> bool:
    """Whether it is below the working directory, or in what any config may name."""
    if found.module.startswith(_LIBRARIES):
        return not found.name.startswith("_")
    return Ownership().is_local(str(found.file))


def _plays(found: Found, role: Role) -> bool:
    """Whether a class plays a role; of alternatives, the first."""
    if role.bases and (is_derived(found, role.bases) or not role.methods):
        return is_derived(found, role.bases)
    if role.methods and role.methods != CALLABLE:
        return all(has_method(found, name) for name in role.methods[0])
    return is_derived(found, MODULE_BASES) or has_method(found, "__call__")


def _is_itself(found: Found, described: Described) -> bool:
    """Whether a function certainly needs arguments, and is given none: it will be called later."""
    signature = signature_of(found)
    if signature is None or described.spec.args or described.spec.kwargs:
        return False
    try:
        signature.bind()
    except TypeError:
        return True
    return False


def _fits(found: Found, described: Described, given: int) -> bool:
    signature = signature_of(found)
    args, kwargs = described.spec.args, described.spec.kwargs
    if signature is None:
        return found.full_name in _BARE and not args and not kwargs
    try:
        signature.bind(*range(given), *args, **kwargs)
    except TypeError:
        return False
    # What goes into *args and **kwargs is not seen by the signature.
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    if inspect.Parameter.VAR_POSITIONAL in kinds and args:
        return False
    return inspect.Parameter.VAR_KEYWORD not in kinds or set(kwargs) <= set(signature.parameters)
