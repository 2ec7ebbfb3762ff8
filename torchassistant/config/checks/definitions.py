"""Definitions: their names, cycles, devices, and the graphs among them."""

from __future__ import annotations

from torchassistant.config.checks.graphs import check_graph, check_processor
from torchassistant.config.checks.models import check_models
from torchassistant.config.checks.scope import Scope
from torchassistant.config.checks.unknown import Unknown
from torchassistant.config.checks.view import View
from torchassistant.config.file_names import folded, why_unsafe
from torchassistant.config.groups.models import origin_of
from torchassistant.config.references import LOSSES, Key
from torchassistant.config.toposort import cycle_text, cycles, suspect_step
from torchassistant.config.tree import Path


def check_definitions(scope: Scope) -> None:
    """Check each definition, and how they hang together."""
    seen: dict[tuple[str, str], str] = {}
    for definition in scope.config.initialize.definitions:
        _own_name(scope, definition, seen)
        if definition.block.group == "batch_processors":
            check_processor(scope, definition.spec)
        if definition.block.group == "batch_graphs":
            check_graph(scope, scope.name_of(definition), definition.spec)
    _cycles(scope)
    check_models(scope)
    _one_device_a_model(scope)
    _one_optimizer_a_loss(scope)


def _own_name(scope: Scope, definition: View, seen: dict[tuple[str, str], str]) -> None:
    group, name, here = definition.group, definition.name, definition.at("name")
    if isinstance(name, Unknown):
        return
    reason = why_unsafe(name)
    if reason:
        scope.note(f'"{name}" cannot be a name, as files are named by it: {reason}', here)
    elif definition.block.group in ("datasets", "splits") and set(name) & set(".[]"):
        scope.note(f'"{name}" cannot be a name: dots and brackets name slices', here)
    before = seen.setdefault((group, folded(name)), name)
    first = scope.groups[definition.block.group][name].path
    if first != definition.path and not isinstance(group, Unknown):
        line = scope.diagnostics.place_of((*first, "name")).line
        where = f" (first in line {line})" if line else ""
        scope.note(f'"{name}" is defined twice in the group "{group}"{where}', here)
    elif before != name:
        scope.note(f'"{name}" and "{before}" would be one file on some systems', here)


def _cycles(scope: Scope) -> None:
    """Definitions that need one another; reported where one needs what only stands further down."""
    graph: dict[Key, dict[Key, Path]] = {}
    for key, definition in scope.definitions.items():
        graph[key] = {}
        for needed, path in scope.needs(definition):
            graph[key].setdefault(needed, path)
    places = {key: definition.path for key, definition in scope.definitions.items()}
    for cycle in cycles(graph):
        one, other = suspect_step(cycle, places)
        text = cycle_text([f'{key.group} "{key.name}"' for key in cycle])
        scope.note(f"these definitions form a cycle: {text}", graph[one][other])


def _one_optimizer_a_loss(scope: Scope) -> None:
    """A node says which optimizer is its; a loss cannot."""
    owner: dict[Key, str] = {}
    for name, optimizer in scope.groups["optimizers"].items():
        if scope.is_for_no_loss(optimizer):
            continue
        for path, found in scope.modules_of(optimizer):
            other = owner.setdefault(found, name) if found.group == LOSSES else name
            if other != name:
                message = f'the loss "{found.name}" has the optimizer "{other}" already'
                scope.note(message, path)


def _one_device_a_model(scope: Scope) -> None:
    found: dict[str, tuple[str, View]] = {}
    for processor in scope.groups["batch_processors"].values():
        device = processor.spec.device or scope.config.device
        if isinstance(device, Unknown):
            continue
        for node in processor.spec.neural_graph or ():
            model = node.model_name
            # Parts and averages of a model are where it is.
            origin = origin_of(model, scope.models) if isinstance(model, str) else model
            other, first = found.setdefault(origin, (device, processor))
            if other != device and not isinstance(first.name, Unknown):
                scope.note(
                    f'the model "{origin}" would be on two devices: {device} here, '
                    f'{other} in "{first.name}"',
                    node.at("model_name"),
                )
