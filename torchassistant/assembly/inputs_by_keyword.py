"""Inputs of nodes, losses and metrics that are given by keyword: whether they fit, and in order."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from torch import nn

from torchassistant.assembly.allowlist import Allowlist
from torchassistant.assembly.importing import NotFound, find
from torchassistant.assembly.role_checks import is_itself, returned_by
from torchassistant.assembly.signatures import misfits
from torchassistant.config import (
    TRANSFORM_OF_SCORE,
    Diagnostics,
    ObjectSpec,
    Path,
    Role,
    Spec,
    role_named,
)
from torchassistant.errors import UserCodeError


def called_first(function: Any, transform: Any, method: str) -> Any:
    """What the inputs of a loss or metric go to: its transform, its method, or itself."""
    if transform is not None:
        return transform
    return getattr(function, method, function)


def in_order(
    inputs: Sequence[str] | dict[str, str], function: Any
) -> tuple[Sequence[str], Sequence[str]]:
    """The columns as positional arguments of a function, where they can be given so.

    Args:
        inputs: Columns in order, or by parameter.
        function: What is called with them.

    Returns:
        The columns; and the parameter of each, where they can only be given by keyword.
    """
    if not isinstance(inputs, dict):
        return inputs, ()
    try:
        bound = inspect.signature(function).bind(**inputs)
    except (TypeError, ValueError):  # its signature is unknown, or does not fit: the call will tell
        return list(inputs.values()), tuple(inputs)
    if bound.kwargs:
        return list(inputs.values()), tuple(inputs)
    return list(bound.args), ()


class _Called(NamedTuple):
    """What gets inputs by keyword.

    Args:
        inputs: Parameter → column.
        path: Where they stand.
        spec: The object that is called.
        role: What it is there for.
        methods: Which of its methods is called: the first that its class has.
        before: What it is given before them.
    """

    inputs: dict[str, str]
    path: Path
    spec: Any
    role: Role
    methods: Sequence[str]
    before: tuple[str, ...] = ()


def report_unfit_inputs(spec: Spec, diagnostics: Diagnostics, allowlist: Allowlist) -> None:
    """Report parameters that what is called does not have, or that it lacks.

    Args:
        spec: The config; what is named in it has been imported.
        diagnostics: Gets the problems.
        allowlist: Decides what may be imported.
    """
    for called in _called_by_keyword(spec):
        target = None if diagnostics.is_broken(called.path) else _target(called, allowlist)
        if target is None:
            continue
        function, given = target
        for misfit in misfits(function, given, (), called.inputs):
            diagnostics.note(misfit.message, (*called.path, *misfit.path[1:]), misfit.at_key)


def _called_by_keyword(spec: Spec) -> Iterator[_Called]:
    models, model = spec.group("models"), role_named("models")
    for index, definition in enumerate(spec.initialize.definitions):
        path: Path = ("initialize", "definitions", index, "spec")
        block = definition.spec
        if definition.group == "batch_processors":
            for number, node in enumerate(block.neural_graph or ()):
                if isinstance(node.inputs, dict) and node.model_name in models:
                    here = (*path, "neural_graph", number, "inputs")
                    called = models[node.model_name]
                    yield _Called(node.inputs, here, called, model, ("forward",))
        elif definition.group in ("losses", "metrics") and isinstance(block.inputs, dict):
            here, role = (*path, "inputs"), role_named(definition.group)
            if block.transform is not None:
                transform = block.transform
                if isinstance(transform, str):
                    transform = ObjectSpec(class_=transform)
                role = role_named(TRANSFORM_OF_SCORE.name)
                yield _Called(block.inputs, here, transform, role, ("forward", "__call__"))
            else:
                methods = ("forward" if definition.group == "losses" else "update", "__call__")
                models_first = tuple(getattr(block, "models", ()))
                yield _Called(block.inputs, here, block, role, methods, models_first)


def _target(called: _Called, allowlist: Allowlist) -> tuple[Any, tuple[str, ...]] | None:
    """The function that is called, and what it is given first; None where that is not known."""
    try:
        target = find(called.spec.path, called.role.search_paths, allowlist)
    except (NotFound, UserCodeError):
        return None
    if is_itself(target, called.spec, called.role):
        return target, called.before
    made = [target] if inspect.isclass(target) else returned_by(target)
    if len(made) != 1:
        return None
    for name in called.methods:
        method = getattr(made[0], name, None)
        if inspect.isfunction(method) and method is not nn.Module.__call__:
            is_abstract = method is nn.Module.forward
            return None if is_abstract else (method, ("self", *called.before))
    return None
