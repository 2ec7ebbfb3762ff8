"""Optimizers that need a closure, where they cannot have one; found without building anything."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import MethodType
from typing import Any

from torchassistant.assembly.allowlist import Allowlist
from torchassistant.assembly.importing import NotFound, find
from torchassistant.config import (
    LOSSES,
    Diagnostics,
    Key,
    Path,
    PipelineSpec,
    Spec,
    role_named,
)
from torchassistant.training import NO_FP16, needs_closure, two_closures


def report_closures(spec: Spec, diagnostics: Diagnostics, allowlist: Allowlist) -> None:
    """Report optimizers that need a closure in ``fp16``, and two of them in one pipeline.

    Args:
        spec: The config; what is named in it has been imported.
        diagnostics: Gets the problems.
        allowlist: Decides what may be imported.
    """
    asking: dict[str, str] = {}
    for index, definition in enumerate(spec.initialize.definitions):
        path: Path = ("initialize", "definitions", index, "spec")
        if definition.group != "optimizers" or diagnostics.is_broken(path):
            continue
        found = _class_of(definition.spec.class_, allowlist)
        step = getattr(found, "step", None)
        if inspect.isfunction(step) and needs_closure(MethodType(step, found)):
            asking[definition.name] = found.__name__
            if spec.precision == "fp16":
                diagnostics.note(f"{found.__name__} {NO_FP16}", path)
    trained = {name for stage in spec.train.stages for name in stage.trained_pipelines}
    for name, pipeline in spec.initialize.pipelines.items() if len(asking) > 1 else ():
        own = [o for o in dict.fromkeys(_optimizers_of(spec, pipeline)) if o in asking]
        if name in trained and len(own) > 1:
            path = ("initialize", "pipelines", name)
            diagnostics.note(two_closures(own[0], own[1]), path)


def _class_of(name: str | None, allowlist: Allowlist) -> Any:
    if name is None:
        return None
    try:
        found = find(name, role_named("optimizers").search_paths, allowlist)
    except NotFound:
        return None
    return found if inspect.isclass(found) else None


def _optimizers_of(spec: Spec, pipeline: PipelineSpec) -> Iterator[str]:
    """The optimizers that the nodes and the losses of a pipeline name, as far as they are there."""
    graph = spec.group("batch_graphs").get(pipeline.graph or "")
    processors = spec.group("batch_processors")
    for processor in [] if graph is None else graph.nodes:
        nodes = processors[processor].neural_graph if processor in processors else None
        yield from (name for node in nodes or () for _, name in node.optimizers)
    losses = {item.loss_name for item in pipeline.losses}
    for name, optimizer in spec.group("optimizers").items():
        if any(optimizer.trains(Key(LOSSES, loss)) for loss in losses):
            yield name
