"""Which numbers the metrics of a stage give: they are known before its history begins."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from torchassistant.assembly import Parts
from torchassistant.errors import DataError
from torchassistant.session.history.history import History
from torchassistant.session.state.stateful_parts import run_by
from torchassistant.training import WHOLE, Pipeline, PipelineMetric, Stage, evaluate, unchanged


def learn_metric_keys(parts: Parts, stage: Stage, history: History, index: int) -> None:
    """Let each metric of a stage know what it gives.

    The columns of a stage that has begun say that. Before, the preflight has seen it, where it was
    run in this process; else a batch is evaluated. What goes wrong here goes wrong in training, and
    is told there. Afterwards everything is as it was.

    Args:
        parts: The session.
        stage: Its metrics get to know their keys.
        history: The rows of the session.
        index: The stage's place in the config.

    Raises:
        DataError: Two values would have one column.
    """
    begun = history.header(index)
    if begun is not None:
        for pipeline, item in _measured(stage):
            item.metric.keys.numbers = _keys_in(begun, pipeline.name, item.shown_as)
        return
    unknown = [(p, item) for p, item in _measured(stage) if item.metric.keys.numbers is None]
    if unknown:
        with unchanged(run_by(parts)):
            for pipeline, item in unknown:
                _evaluate(pipeline, item)
    for _, item in unknown:
        if item.metric.keys.numbers is None:
            item.metric.keys.numbers = (WHOLE,)
    shown = [column for pipeline in stage.validation for column in pipeline.evaluated_columns]
    twice = [column for column, count in Counter(shown).items() if count > 1]
    if twice:
        message = f'two values of a row would have the column "{twice[0]}"'
        raise DataError(f"{message}; give one of them another display name")


def _measured(stage: Stage) -> list[tuple[Pipeline, PipelineMetric]]:
    validated = [(pipeline, item) for pipeline in stage.validation for item in pipeline.metrics]
    return validated + [(p, item) for p in stage.training for item in stage.measured(p)]


def _keys_in(header: Sequence[str], pipeline: str, shown_as: str) -> tuple[str, ...]:
    """The keys under which a metric has columns."""
    for name in (f"{pipeline} {shown_as}", shown_as):
        if name in header:
            return (WHOLE,)
        own = [column for column in header if column.startswith(f"{name}/")]
        if own:
            return tuple(column.removeprefix(f"{name}/") for column in own)
    return ()


def _evaluate(pipeline: Pipeline, item: PipelineMetric) -> None:
    try:
        inputs = [replace(one, factory=one.factory.in_process()) for one in pipeline.inputs]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            evaluate(replace(pipeline, inputs=inputs, losses=(), metrics=[item]), steps=1)
    except Exception:
        return
