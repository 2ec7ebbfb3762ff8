"""Definitions: names, what they name, circles, devices, and the graphs among them."""

from __future__ import annotations

from typing import Any

from torchassistant.config.checks.circles import circles_in
from torchassistant.config.checks.graphs import check_graph, check_processor
from torchassistant.config.checks.scope import DEFINITIONS, Scope
from torchassistant.config.names import folded, why_unsafe
from torchassistant.config.references import Key, references, target
from torchassistant.config.tree import Path, place_of


def check_definitions(scope: Scope) -> None:
    """Check each definition, and how they hang together."""
    seen: dict[tuple[str, str], str] = {}
    for index, definition in enumerate(scope.spec.initialize.definitions):
        path: Path = (*DEFINITIONS, index)
        _own_name(scope, definition, path, seen)
        for reference in references(definition):
            scope.reference(reference.group, reference.name, (*path, *reference.path))
        if definition.group == "batch_processors":
            check_processor(scope, definition.spec, (*path, "spec"))
        if definition.group == "batch_graphs":
            check_graph(scope, definition.spec, (*path, "spec"))
    _circles(scope)
    _one_device_a_model(scope)


def _own_name(scope: Scope, definition: Any, path: Path, seen: dict[tuple[str, str], str]) -> None:
    group, name = definition.group, definition.name
    here = (*path, "name")
    reason = why_unsafe(name)
    if reason:
        scope.note(f'"{name}" cannot be a name, as files are named by it: {reason}', here)
    if group in ("datasets", "splits") and set(name) & set(".[]"):
        scope.note(f'"{name}" cannot be a name: dots and brackets name slices', here)
    before = seen.setdefault((group, folded(name)), name)
    if before == name and scope.written_at[Key(group, name)] != path:
        findings = scope.findings
        first = place_of(findings.tree, scope.written_at[Key(group, name)], findings.file)
        where = f" (first in line {first.line})" if first.line else ""
        scope.note(f'"{name}" is defined twice in the group "{group}"{where}', here)
    elif before != name:
        scope.note(f'"{name}" and "{before}" would be one file on some systems', here)


def _circles(scope: Scope) -> None:
    graph = {
        key: {found for r in references(d) if (found := target(r, scope.defined))}
        for key, d in scope.defined.items()
    }
    for circle in circles_in(graph):
        text = " → ".join(f'{key.group} "{key.name}"' for key in circle)
        scope.note(f"these definitions need one another: {text}", scope.written_at[circle[0]])


def _one_device_a_model(scope: Scope) -> None:
    found: dict[str, tuple[str, str]] = {}
    for key, definition in scope.defined.items():
        if key.group != "batch_processors":
            continue
        device = definition.spec.device or scope.spec.device
        for index, node in enumerate(definition.spec.neural_graph or []):
            other, processor = found.setdefault(node.model_name, (device, key.name))
            if other != device:
                path = (*scope.written_at[key], "spec", "neural_graph", index, "model_name")
                scope.note(
                    f'the model "{node.model_name}" would be on two devices: {device} here, '
                    f'{other} in "{processor}"',
                    path,
                )
