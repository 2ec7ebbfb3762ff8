"""Ports that other pipelines feed: whether those are there, run earlier, and have the node."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from torchassistant.config.checks.resolver import Names
from torchassistant.config.checks.scope import Scope
from torchassistant.config.checks.training_entries import training_entries
from torchassistant.config.checks.unknown import Unknown
from torchassistant.config.checks.view import View
from torchassistant.config.spec import PipelineSpec


def check_linked_inputs(scope: Scope, used: Collection[str] | None) -> None:
    """Check what feeds ports in place of loaders, in the pipelines that are to be run."""
    links = list(_links(scope, used))
    table = scope.config.initialize.pipelines
    scope.resolver.resolve(
        Names(
            scope.spec.initialize.pipelines,
            table.unreadable if isinstance(table, Unknown) else 0,
        ),
        [item.use("from_pipeline") for _, _, item in links],
        lambda name, hint: f'no pipeline is named "{name}"{hint}',
        only_one=False,
    )
    for name, pipeline, item in links:
        if not isinstance(pipeline.block, PipelineSpec):
            message = "a debug pipeline is fed by loaders only"
            scope.note(message, item.at("from_pipeline"), at_key=True)
        elif not isinstance(item.from_pipeline, Unknown):
            _link(scope, name, pipeline, item)
    if used is None:
        for stage in scope.config.train.stages:
            _runs_earlier(scope, stage)
            _has_a_pass(scope, stage)


def _links(scope: Scope, used: Collection[str] | None = None) -> Iterator[tuple[str, View, View]]:
    """Each input factory that names a pipeline, with its own pipeline and the name of that."""
    for name, pipeline in scope.pipelines(used):
        for item in pipeline.input_factories:
            if item.block.from_pipeline is not None:
                yield name, pipeline, item


def _link(scope: Scope, name: str, pipeline: View, item: View) -> None:
    source = scope.pipeline(item.from_pipeline)
    place = item.at("from_pipeline")
    if name in scope.spec.with_sources(_sources(scope, name)):
        scope.note(f'the pipeline "{name}" feeds itself', place)
    for one, of in ((pipeline, name), (source, item.from_pipeline)):
        count = one.gradient_accumulation
        if isinstance(count, int) and count > 1:
            message = f'the pipeline "{of}" accumulates gradients over several batches'
            scope.note(f'{message}; "from_pipeline" takes one batch', place)
            break
    if item.block.node is not None and not isinstance(source, Unknown):
        wiring = scope.wiring(source)
        if not isinstance(wiring, Unknown):
            scope.resolver.resolve(
                wiring.nodes,
                [item.use("node")],
                lambda node, hint: f'that pipeline has no node "{node}"{hint}',
                only_one=False,
            )


def _sources(scope: Scope, name: str) -> list[str]:
    pipeline = scope.spec.initialize.pipelines[name]
    return [item.from_pipeline for item in pipeline.input_factories if item.from_pipeline]


def _runs_earlier(scope: Scope, stage: View) -> None:
    """What feeds a training pipeline of a stage stands before it there."""
    entries = training_entries(stage)
    if isinstance(entries, Unknown) or entries.unreadable:
        return
    order: list[Any] = entries.names
    for position, use in enumerate(entries):
        pipeline = scope.pipeline(use.name)
        for item in () if isinstance(pipeline, Unknown) else pipeline.input_factories:
            source = item.from_pipeline
            if source is None or isinstance(source, Unknown) or source in order[:position]:
                continue
            is_there = source in order
            what = "stands later in" if is_there else "is not a training pipeline of"
            scope.note(
                f'the pipeline "{source}", which feeds "{use.name}", {what} this stage; it has to '
                "stand before it",
                use.path,
            )


def _has_a_pass(scope: Scope, stage: View) -> None:
    """What other pipelines feed has no data of its own that could begin anew."""
    for entry in stage.training_pipelines:
        if not isinstance(entry, View) or entry.block.when_exhausted is None:
            continue
        items = scope.pipeline(entry.pipeline).input_factories
        if isinstance(items, Unknown) or items.unreadable:
            continue
        if all(item.block.from_pipeline is not None for item in items):
            message = (
                f'another pipeline feeds "{entry.pipeline}", which has no data of its own that '
                "could be used up"
            )
            scope.note(message, entry.at("when_exhausted"), at_key=True)
