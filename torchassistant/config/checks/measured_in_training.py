"""Metrics that a stage measures in training: that each name is one, and that something is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torchassistant.config.checks.pipelines import scores, shown_as
from torchassistant.config.checks.resolver import Names
from torchassistant.config.checks.scope import Scope
from torchassistant.config.checks.training_entries import training_entries
from torchassistant.config.checks.unknown import Unknown
from torchassistant.config.checks.view import Items, View


def check_measured(scope: Scope, stage: View) -> None:
    """Each name is that of a metric that can be measured, and something is."""
    measured, entries = stage.measure_training, training_entries(stage)
    if measured is False or isinstance(measured, Unknown) or isinstance(entries, Unknown):
        return
    path, validation = stage.at("measure_training"), stage.validation_pipelines
    if isinstance(validation, Unknown) or not scope.spec.initialize.pipelines:
        return
    here = [name for name in entries.names if name not in validation.names]
    shown = [shown_as(scope, score) for name in here for score in _metrics_of(scope, name)]
    unreadable = sum(isinstance(name, Unknown) for name in shown)
    unreadable += entries.unreadable + validation.unreadable
    unreadable += sum(scope.pipeline(name).metrics.unreadable for name in here)
    known = Names([name for name in shown if not isinstance(name, Unknown)], unreadable)
    if isinstance(measured, Items) and measured.written:
        scope.resolver.resolve(
            known,
            measured.uses(),
            lambda name, hint: (
                f'no training pipeline of this stage has a metric that is shown as "{name}"'
                f"{_of_validation(scope, stage, name)}{hint}"
            ),
            only_one=False,
        )
    elif isinstance(measured, Items) or not (known.names or unreadable):
        why = "it names nothing" if isinstance(measured, Items) else _no_metric(scope, stage)
        scope.note(f"with this nothing is measured in training: {why}", path)


def measured_in(scope: Scope, stage: View, pipeline: str) -> Names:
    """The display names of the metrics that a stage measures in a training pipeline."""
    measured = stage.measure_training
    if measured is False:
        return Names([])
    shown = [shown_as(scope, score) for score in _metrics_of(scope, pipeline)]
    names = [name for name in shown if not isinstance(name, Unknown)]
    unreadable = len(shown) - len(names) + isinstance(measured, Unknown)
    if isinstance(measured, Items):
        # What cannot be read may be each of the others, and nothing that is no metric.
        others = len(shown) - sum(name in measured.names for name in names)
        unreadable = min(measured.unreadable, others + scope.pipeline(pipeline).metrics.unreadable)
        names = [name for name in names if name in measured.names]
    return Names(names, unreadable)


def _metrics_of(scope: Scope, pipeline: str) -> Iterator[Any]:
    return (score for score in scores(scope.pipeline(pipeline)) if score.group == "metrics")


def _no_metric(scope: Scope, stage: View) -> str:
    both = _validated_too(scope, stage)
    if not both:
        return "no training pipeline of this stage has a metric"
    return f'"{both[0]}" is validated in this stage too, and its rows show that'


def _of_validation(scope: Scope, stage: View, shown: str) -> str:
    """Says that a pipeline has such a metric, and why it is not measured in training."""
    for name in _validated_too(scope, stage):
        if any(shown_as(scope, score) == shown for score in _metrics_of(scope, name)):
            return f', but for "{name}", which is validated in this stage too'
    return ""


def _validated_too(scope: Scope, stage: View) -> list[str]:
    validated = stage.validation_pipelines.names
    return [name for name in training_entries(stage).names if name in validated]
