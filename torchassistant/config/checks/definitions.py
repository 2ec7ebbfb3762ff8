"""Definitions: their names, circles, devices, and the graphs among them."""

from __future__ import annotations

from typing import Any

from torchassistant.config.checks.cycles import odd_one, shown
from torchassistant.config.checks.graphs import check_graph, check_processor
from torchassistant.config.checks.scope import DEFINITIONS, Scope
from torchassistant.config.file_names import folded, why_unsafe
from torchassistant.config.references import LOSSES, Key, module_named, references, target
from torchassistant.config.toposort import cycles
from torchassistant.config.tree import Path


def check_definitions(scope: Scope) -> None:
    """Check each definition, and how they hang together."""
    seen: dict[tuple[str, str], str] = {}
    for path, definition in scope.sound(scope.spec.initialize.definitions, DEFINITIONS):
        if not scope.is_broken(path, "name"):
            _own_name(scope, definition, path, seen)
        if definition.group == "batch_processors":
            check_processor(scope, definition.spec, (*path, "spec"))
        if definition.group == "batch_graphs":
            name = scope.name_of(definition, path)
            check_graph(scope, name, definition.spec, (*path, "spec"))
    _cycles(scope)
    _one_device_a_model(scope)
    _one_optimizer_a_loss(scope)


def _own_name(scope: Scope, definition: Any, path: Path, seen: dict[tuple[str, str], str]) -> None:
    group, name = definition.group, definition.name
    here = (*path, "name")
    reason = why_unsafe(name)
    if reason:
        scope.note(f'"{name}" cannot be a name, as files are named by it: {reason}', here)
    elif group in ("datasets", "splits") and set(name) & set(".[]"):
        scope.note(f'"{name}" cannot be a name: dots and brackets name slices', here)
    if scope.is_broken(path, "group"):
        return
    before = seen.setdefault((group, folded(name)), name)
    first = scope.at(group, name)
    if first != path:
        line = scope.diagnostics.place_of((*first, "name")).line
        where = f" (first in line {line})" if line else ""
        scope.note(f'"{name}" is defined twice in the group "{group}"{where}', here)
    elif before != name:
        scope.note(f'"{name}" and "{before}" would be one file on some systems', here)


def _cycles(scope: Scope) -> None:
    """Definitions that need one another; told where one needs what only stands further down."""
    graph: dict[Key, dict[Key, Path]] = {key: {} for key in scope.defined}
    for key, definition in scope.defined.items():
        for reference in references(definition):
            path = (*scope.written_at[key], *reference.path)
            found = target(reference, scope.defined)
            if found is not None and not scope.is_broken(path):
                graph[key].setdefault(found, path)
    for cycle in cycles(graph):
        one, other = odd_one(cycle, scope.written_at)
        text = shown([f'{key.group} "{key.name}"' for key in cycle])
        scope.note(f"these definitions need one another: {text}", graph[one][other])


def _one_optimizer_a_loss(scope: Scope) -> None:
    """A node says which optimizer is its; a loss cannot."""
    owner: dict[Key, str] = {}
    for key, definition in scope.defined.items():
        if key.group != "optimizers":
            continue
        path = (*scope.written_at[key], "spec", "model")
        found = module_named(definition.spec.model)
        if found.group == LOSSES and not scope.is_broken(path):
            other = owner.setdefault(found, key.name)
            if other != key.name:
                message = f'the loss "{found.name}" has the optimizer "{other}" already'
                scope.note(message, path)


def _one_device_a_model(scope: Scope) -> None:
    found: dict[str, tuple[str, str]] = {}
    for key, definition in scope.defined.items():
        if key.group != "batch_processors":
            continue
        path = (*scope.written_at[key], "spec")
        own = definition.spec.device
        if scope.is_broken(path, "device") or (own is None and scope.is_broken(("device",))):
            continue
        device = own or scope.spec.device
        for here, node in scope.sound(definition.spec.neural_graph or [], (*path, "neural_graph")):
            model = scope.read(node.model_name, (*here, "model_name")) or node.model_name
            other, processor = found.setdefault(model, (device, key.name))
            if other != device and not scope.is_broken(scope.at(key.group, processor), "name"):
                scope.note(
                    f'the model "{model}" would be on two devices: {device} here, '
                    f'{other} in "{processor}"',
                    (*here, "model_name"),
                )
