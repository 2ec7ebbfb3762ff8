"""Objects that are called in place of a part of a pipeline's steps: what they exclude."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torchassistant.config.checks.scope import Scope
from torchassistant.config.checks.training_entries import training_entries
from torchassistant.config.checks.unknown import Unknown
from torchassistant.config.checks.view import View
from torchassistant.config.spec import PipelineSpec


def check_steps(scope: Scope, used: Collection[str] | None) -> None:
    """Check what stands beside the objects of the pipelines that are to be run."""
    trained = _trained(scope) if used is None else None
    for name, pipeline in scope.pipelines(used):
        if isinstance(pipeline.block, PipelineSpec) and pipeline.block.combine is not None:
            _combine(scope, pipeline)
            _is_trained(scope, pipeline, name, "combine", trained)


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
