"""Objects that are called in place of a part of a pipeline's steps: what they exclude."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torchassistant.config.checks.pipelines import check_display, scores, shown_as, shown_by
from torchassistant.config.checks.scope import Scope
from torchassistant.config.checks.training_entries import training_entries
from torchassistant.config.checks.unknown import Unknown
from torchassistant.config.checks.view import View
from torchassistant.config.spec import PipelineSpec


def check_steps(scope: Scope, used: Collection[str] | None) -> None:
    """Check what stands beside the objects of the pipelines that are to be run."""
    trained = _trained(scope) if used is None else None
    for name, pipeline in scope.pipelines(used):
        if not isinstance(pipeline.block, PipelineSpec):
            continue
        if pipeline.block.combine is not None:
            _combine(scope, pipeline)
            _is_trained(scope, pipeline, name, "combine", trained)
        if pipeline.block.train_step is not None:
            _train_step(scope, pipeline)
            _makes_one_part(scope, name)
            _carries(scope, pipeline)
            _is_trained(scope, pipeline, name, "train_step", trained)
        for key in ("train_step", "eval_step"):
            if getattr(pipeline.block, key) is not None:
                _losses(scope, pipeline, key)


def _combine(scope: Scope, pipeline: View) -> None:
    batches = pipeline.gradient_accumulation
    if not isinstance(batches, Unknown) and batches > 1:
        message = (
            '"combine" needs whole gradients, and "gradient_accumulation" adds up parts of them'
        )
        _note(scope, pipeline, "gradient_accumulation", message)
    if scope.config.precision == "fp16":
        message = (
            '"combine" compares gradients, which are scaled in "fp16"; "bf16" has the range of '
            "float32"
        )
        _note(scope, pipeline, "combine", message)


_IN_PLACE_OF = (
    ("combine", "leaves the gradients itself"),
    ("gradient_accumulation", "adds up gradients itself"),
    ("compile", "compiles what it likes"),
    ("normalize_weights", "weighs its losses itself"),
)
"""Keys without effect beside ``train_step``, and what this does instead."""


def _carries(scope: Scope, pipeline: View) -> None:
    """The graph may carry state elsewhere; here it does not run."""
    for node in scope.nodes(pipeline):
        if isinstance(node, View) and node.block.carry:
            message = (
                f'"train_step" runs the models itself: what the node "{node.block.node_name}" '
                "carries from batch to batch is not carried here"
            )
            scope.diagnostics.warn(message, pipeline.at("train_step"))


def _train_step(scope: Scope, pipeline: View) -> None:
    defaults = type(pipeline.block).model_fields
    for key, instead in _IN_PLACE_OF:
        value = getattr(pipeline.block, key)
        if pipeline.has(key) and value != defaults[key].default:
            message = f'"{key}" has no effect beside "train_step", which {instead}'
            _note(scope, pipeline, key, message)
    for loss in pipeline.losses:
        if loss.has("weight") and loss.block.weight != 1:
            message = '"weight" has no effect beside "train_step", which weighs its losses itself'
            scope.note(message, loss.at("weight"), at_key=True)


def _makes_one_part(scope: Scope, name: str) -> None:
    """A step of the user's own is called once in each process, and makes one part there."""
    distributed = scope.config.distributed
    if distributed is None or isinstance(distributed, Unknown):
        return
    parts = distributed.logical_ranks
    if parts is None or isinstance(parts, Unknown) or parts == 1:
        return
    message = (
        f'the pipeline "{name}" has a "train_step", which is called once in each process, with its '
        'part of a batch, and cannot be cut further: leave "logical_ranks" out'
    )
    scope.note(message, distributed.at("logical_ranks"), at_key=True)


def _losses(scope: Scope, pipeline: View, key: str) -> None:
    """A step names what it returns; else it is what the losses are called."""
    step = getattr(pipeline, key)
    if isinstance(step, Unknown):
        return
    if step.block.losses is None:
        if step.complete and pipeline.complete and not pipeline.losses:
            message = '"losses" is needed: the names of what it returns, as the history shows them'
            scope.note(message, step.path)
        return
    seen: set[str] = set()
    if key == "eval_step":
        metrics = (score for score in scores(pipeline) if score.group == "metrics")
        seen = {name for s in metrics if isinstance(name := shown_as(scope, s), str)}
    for shown in shown_by(scope, pipeline, key):
        check_display(scope, shown, seen)


def _is_trained(
    scope: Scope, pipeline: View, name: str, key: str, trained: Collection[Any] | None
) -> None:
    if trained is not None and name not in trained:
        message = f'"{key}" is called in training, and no stage trains this pipeline'
        _note(scope, pipeline, key, message)


def _trained(scope: Scope) -> Collection[Any] | None:
    """The pipelines that some stage trains; None where that cannot be read."""
    stages = scope.config.train.stages
    if isinstance(stages, Unknown) or stages.unreadable:
        return None
    entries = [training_entries(stage) for stage in stages]
    if any(isinstance(entry, Unknown) or not entry.complete for entry in entries):
        return None
    return {name for entry in entries for name in entry.names}


def _note(scope: Scope, pipeline: View, key: str, message: str) -> None:
    scope.note(message, pipeline.at(key), at_key=True)
