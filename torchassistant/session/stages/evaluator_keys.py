"""Which keys the evaluators of a stage give: they are known before its history begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torchassistant.assembly import Parts
from torchassistant.errors import DataError, listing, near
from torchassistant.graph import is_among
from torchassistant.session.history.history import History
from torchassistant.session.state.stateful_parts import run_by
from torchassistant.training import Stage, StageEvaluator, unchanged


def learn_evaluator_keys(parts: Parts, history: History, index: int, stage: Stage) -> None:
    """Let the evaluators of a stage know their keys: those of its history, if it has begun.

    Else they are run over two batches, unless they say which keys they give; afterwards everything
    is as it was.

    Args:
        parts: The session.
        history: The rows of the session.
        index: The stage's place in the config.
        stage: Its evaluators get to know their keys.

    Raises:
        DataError: One gives no dict of numbers, or says other keys than those of the history.
        UserCodeError: One raised.
    """
    if not stage.evaluators:
        return
    begun = history.header(index)
    if begun is not None:
        for evaluator in stage.evaluators:
            _take_from(begun, evaluator)
    elif any(evaluator.keys is None for evaluator in stage.evaluators):
        with unchanged(run_by(parts)):
            for evaluator in stage.evaluators:
                evaluator.learn_keys()


def _take_from(header: list[str], evaluator: StageEvaluator) -> None:
    head = f"{evaluator.name}/"
    keys = tuple(column.removeprefix(head) for column in header if column.startswith(head))
    if evaluator.keys is not None and set(evaluator.keys) != set(keys):
        raise DataError(
            f"{evaluator.what} had the columns {listing(list(keys)) or 'of nothing'} when the "
            f"stage began, and has {listing(list(evaluator.keys)) or 'none'} now"
        )
    evaluator.keys = keys


def expect_monitored(parts: Parts, stage: Stage, best: Sequence[str]) -> None:
    """See that what listens to an evaluator of a stage names a key that it gives.

    Args:
        parts: The session.
        stage: The keys of its evaluators are known.
        best: What the best checkpoints are chosen by.

    Raises:
        DataError: It does not.
    """
    header = stage.evaluator_columns
    heads = [f"{evaluator.name}/" for evaluator in stage.evaluators]
    for monitor in _monitors(parts, stage, best) if heads else ():
        if not isinstance(monitor, str) or monitor in header:
            continue
        if monitor.startswith(tuple(heads)):
            raise DataError(f'no evaluator gives "{monitor}"{near(monitor, header)}')


def _monitors(parts: Parts, stage: Stage, best: Sequence[str]) -> Iterator[object]:
    yield getattr(stage.stop_condition, "monitor", None)
    used = [optimizer for pipeline in stage.training for optimizer in pipeline.optimizers]
    for scheduler in parts.schedulers.values():
        if is_among(scheduler.optimizer, used):
            yield scheduler.monitor
    yield from best
