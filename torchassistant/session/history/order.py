"""Which examples of a dataset a session has met in an epoch."""

from __future__ import annotations

from collections.abc import Sequence

from torchassistant.assembly import Parts
from torchassistant.errors import ConfigError, SessionError, near
from torchassistant.session.history.history import History
from torchassistant.training import (
    EpochSpan,
    Order,
    Pipeline,
    Progress,
    Row,
    Stage,
    evaluation_order,
    parts_met,
    step_of,
    training_order,
)


def order_of(
    parts: Parts,
    rows: History,
    progress: Progress,
    pipeline: str,
    epoch: int,
    port: str | None,
) -> Order | None:
    """See :meth:`Session.order`."""
    if pipeline not in parts.pipelines:
        raise ConfigError(f'no pipeline is named "{pipeline}"{near(pipeline, parts.pipelines)}')
    whole = parts.pipelines[pipeline]
    name = _port(whole, port)
    known = [rows.rows(index) for index in range(len(parts.stages))]
    epochs = _epochs(known, progress)
    if not 1 <= epoch <= len(epochs):
        begun = f"1 to {len(epochs)}" if epochs else "none"
        raise SessionError(f"epoch {epoch} has not begun; there are {begun}")
    index = epochs[epoch - 1].stage
    stage = parts.stages[index]
    trained = any(one.name == pipeline for one in stage.training)
    validated = any(one.name == pipeline for one in stage.validation)
    if not (trained or validated):
        raise ConfigError(f'the pipeline "{pipeline}" does not run in epoch {epoch}')
    found: Order = []
    if trained:
        met = training_order(whole, name, parts_met(parts.stages, epochs[:epoch], pipeline))
        if met is None:
            return None
        found += met
    if validated:
        steps = stage.eval_steps.get(pipeline, 1.0)
        met = evaluation_order(whole, name, steps)
        if met is None:
            return None
        of_epoch = [row for row in known[index] if row["epoch"] == epoch]
        found += met * _evaluations(stage, pipeline, of_epoch)
    return found


def _port(pipeline: Pipeline, port: str | None) -> str:
    names = [source.port for source in pipeline.inputs]
    names += [link.port for link in pipeline.links]
    if port is None:
        return names[0]
    if port not in names:
        raise ConfigError(f'the pipeline "{pipeline.name}" has no port "{port}"{near(port, names)}')
    return port


def _epochs(known: Sequence[Sequence[Row]], progress: Progress) -> list[EpochSpan]:
    """All epochs of the run, with that at hand."""
    ends: dict[int, tuple[int, int]] = {}
    for stage, rows in enumerate(known):
        for row in rows:
            ends[int(row["epoch"] or 0)] = stage, step_of(row)
    found, before = [], 0
    for epoch in range(1, progress.epoch + 1):
        stage, step = ends.get(epoch, (0, before))
        found.append(EpochSpan(stage, step - before))
        before = step
    if progress.within is not None and progress.step > before:
        found.append(EpochSpan(progress.stage, progress.step - before))
    return found


def _evaluations(stage: Stage, pipeline: str, rows: Sequence[Row]) -> int:
    """How often a validation pipeline was run, by the rows that have a value of it."""
    columns = [column for (name, _), column in stage.columns.items() if name == pipeline]
    return sum(any(row.get(column) is not None for column in columns) for row in rows)
