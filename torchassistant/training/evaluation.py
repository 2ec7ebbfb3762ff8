"""One pass over the data of a pipeline without changing anything."""

from __future__ import annotations

import math
from itertools import islice

from torchassistant.data.randomness import derived, seeded
from torchassistant.errors import DataError, Interrupted, UserCodeError
from torchassistant.graph import evaluating
from torchassistant.training.pipeline import Pipeline
from torchassistant.training.progress import StopRequest
from torchassistant.training.reporting import Reporter
from torchassistant.training.scoring import RunningMean

Steps = int | float
"""How much of a pass: a count of batches, or a fraction of them (as a float)."""


def evaluate(
    pipeline: Pipeline,
    steps: Steps = 1.0,
    reporter: Reporter | None = None,
    stop: StopRequest | None = None,
) -> dict[str, float]:
    """Losses (means over samples) and metrics (of the whole pass) by display name.

    Eval mode, no gradient, unshuffled. Random numbers that are drawn here follow from the seed
    and the name of the pipeline alone, so the same weights give the same result wherever the
    pipeline is evaluated, and training goes on as if nothing had been drawn.

    Args:
        pipeline: What is evaluated.
        steps: A count of batches, or a fraction.
        reporter: Hears of every batch.
        stop: Ends the pass early.

    Raises:
        Interrupted: ``stop`` asked for it.
    """
    reporter = reporter or Reporter()
    data = pipeline.evaluation_data()
    plan = pipeline.graph.for_evaluation()
    losses = [(item, RunningMean(item.loss.sums)) for item in pipeline.losses]
    metrics = [(item, item.metric.fresh()) for item in pipeline.metrics]
    limit = _limit(data.length(), steps)
    reporter.evaluation_started(pipeline.name, limit)
    try:
        with (
            seeded(derived(pipeline.seed, "evaluation", pipeline.name)),
            evaluating(pipeline.modules),
        ):
            batches = 0
            for frames in islice(data.frames(0), limit):
                batches += 1
                plan.run(frames)
                for item, running in losses:
                    frame = frames[item.node]
                    running.add(item.loss(frame), item.loss.rows(frame))
                for scored, metric in metrics:
                    metric.update(frames[scored.node])
                reporter.batch_evaluated()
                if stop is not None and stop.signum is not None:
                    raise Interrupted(stop.signum, "stopped in evaluation")
            if not batches:
                raise DataError(f'the loaders of the pipeline "{pipeline.name}" give no batch')
            values = {item.shown_as: running.value() for item, running in losses}
            values |= {item.shown_as: metric.result() for item, metric in metrics}
    except UserCodeError as error:
        whole = f'the evaluation of the pipeline "{pipeline.name}"'
        raise error.within(whole) from error.__cause__
    return values


def _limit(length: int | None, steps: Steps) -> int | None:
    """How many batches are run; None is all that there are."""
    if isinstance(steps, int):
        return steps if length is None else min(steps, length)
    if steps >= 1 or length is None:
        return length
    return max(1, math.ceil(length * steps))
