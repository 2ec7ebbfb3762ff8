"""Which definition names which: the edges that decide what is undefined and what is built first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torchassistant.config.groups import GROUPS
from torchassistant.config.named_objects import attributes_in, objects_in
from torchassistant.config.references import OWNERS, Reference
from torchassistant.config.roles import role_named
from torchassistant.config.spec import DebugPipelineSpec, PipelineSpec, StageEvaluatorSpec


def references(definition: Any) -> Iterator[Reference]:
    """Every name of another definition in this one's spec."""
    for path, group, name in GROUPS[definition.group].references(definition.spec):
        yield Reference(("spec", *path), group, name)
    for path, owner in attributes_in(definition.spec, ("spec",)):
        group, _, name = owner.partition(".")
        if group in OWNERS and name:
            yield Reference(path, group, name)


def needed_by(definition: Any) -> Iterator[Reference]:
    """The names of what is built before this definition."""
    later = GROUPS[definition.group].later
    return (found for found in references(definition) if found.path[1] not in later)


def references_of_pipeline(
    pipeline: PipelineSpec | DebugPipelineSpec, scored: bool = True
) -> Iterator[Reference]:
    """Every name of a definition in a pipeline; of losses and metrics where they are computed."""
    if pipeline.graph is not None:
        yield Reference(("graph",), "batch_graphs", pipeline.graph)
    for index, item in enumerate(pipeline.input_factories):
        path = ("input_factories", index, "loader_factory")
        if item.loader_factory is not None:
            yield Reference(path, "loader_factories", item.loader_factory)
    for other, name in (pipeline.models or {}).items():
        yield Reference(("models", other), "models", name)
    if isinstance(pipeline, PipelineSpec) and scored:
        for index, loss in enumerate(pipeline.losses):
            yield Reference(("losses", index, "loss_name"), "losses", loss.loss_name)
        for index, metric in enumerate(pipeline.metrics):
            yield Reference(("metrics", index, "metric_name"), "metrics", metric.metric_name)


def references_of_evaluator(entry: StageEvaluatorSpec) -> Iterator[Reference]:
    """Every name of a definition in an entry of ``evaluators``."""
    yield Reference(("evaluator",), "evaluators", entry.evaluator)
    for known_as, name in (entry.models or {}).items():
        yield Reference(("models", known_as), "models", name)
    if entry.loader_factory is not None:
        yield Reference(("loader_factory",), "loader_factories", entry.loader_factory)


def asks_the_session(block: Any) -> bool:
    """Whether building this gives the session to code of the user, who may look at anything."""
    return any(
        described.spec.factory_fn or "the session" in role_named(described.role).given
        for described in objects_in(block, (), "")
    )
