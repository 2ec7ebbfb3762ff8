"""One pass over the data of a pipeline without changing anything."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from itertools import islice

from torchassistant.data import MultiLoader
from torchassistant.data.object_rngs import object_rngs_seeded
from torchassistant.data.rng import derived, seeded
from torchassistant.data.workers import interruptible
from torchassistant.errors import DataError, UserCodeError, UserError
from torchassistant.frames import Frames
from torchassistant.graph import evaluating
from torchassistant.training.losses_and_metrics import RunningMean, stretched_in, tell_stretched
from torchassistant.training.pipeline import Pipeline
from torchassistant.training.progress import Checked, StopRequest
from torchassistant.training.reporter import Reporter

Steps = int | float
"""How much of a pass: a count of batches, or a fraction of them (as a float)."""


def evaluate(
    pipeline: Pipeline,
    steps: Steps = 1.0,
    reporter: Reporter | None = None,
    stop: Checked | None = None,
) -> dict[str, float]:
    """Losses (means over samples) and metrics (of the whole pass) by display name.

    Eval mode, no gradient, unshuffled. Random numbers that are drawn here follow from the seed
    and the name of the pipeline alone, so the same weights give the same result wherever the
    pipeline is evaluated, and training goes on as if nothing had been drawn.

    Args:
        pipeline: What is evaluated.
        steps: A count of batches, or a fraction of as many as the data says that it has.
        reporter: Hears of every batch.
        stop: Ends the pass early.

    Raises:
        Interrupted: ``stop`` asked for it.
    """
    with closing(pipeline.evaluation_data()) as data:
        return evaluate_over(data, pipeline, steps, reporter, stop)


def evaluate_over(
    data: MultiLoader,
    pipeline: Pipeline,
    steps: Steps = 1.0,
    reporter: Reporter | None = None,
    stop: Checked | None = None,
) -> dict[str, float]:
    """The same over the evaluation data of the pipeline, for who evaluates it again and again."""
    reporter, stop = reporter or Reporter(), stop or StopRequest()
    plan = pipeline.graph.for_evaluation()
    losses = [(item, RunningMean(item.loss.sums)) for item in pipeline.losses]
    metrics = [(item, item.metric.fresh()) for item in pipeline.metrics]
    counted = pipeline.graph.count_of

    def measure(frames: Frames) -> None:
        with pipeline.precision.forward():
            plan.run(frames)
            for item, running in losses:
                # Not kept: a small tensor between large ones keeps their memory apart.
                running.add(*item.loss(frames[item.node], counted(frames, item.node)))
        for scored, metric in metrics:
            metric.update(frames[scored.node], counted(frames, scored.node))

    length = data.length()
    limit = _limit(length, steps)
    seed = derived(pipeline.seed, "evaluation", pipeline.name)
    totals = [total for total in (length, limit) if total is not None]
    reporter.evaluation_started(pipeline.name, min(totals, default=None))
    try:
        with (
            seeded(seed),
            object_rngs_seeded(pipeline.rng_holders, seed),
            evaluating(pipeline.reached),
            closing(data.frames(0)) as given,
        ):
            batches = 0
            for frames in islice(_waited_for(data, given, stop), limit):
                stretched = None
                try:
                    if data.has_changed:
                        data.has_changed = False
                        stretched = stretched_in(partial(measure, frames))
                    else:
                        measure(frames)
                except (UserError, UserCodeError) as error:
                    raise data.explained(error, [batches], frames) from error.__cause__
                if stretched is not None:
                    tell_stretched(stretched, data.explained(stretched, [batches], frames))
                batches += 1
                frames.clear()  # outputs are not kept while the next batch is loaded
                reporter.batch_evaluated()
                stop.check()
            if not batches:
                raise DataError(f'the loaders of the pipeline "{pipeline.name}" give no batch')
            results = {item.shown_as: running.value() for item, running in losses}
            results |= {item.shown_as: metric.result() for item, metric in metrics}
    except UserCodeError as error:
        whole = f'the evaluation of the pipeline "{pipeline.name}"'
        raise error.within(whole) from error.__cause__
    reporter.evaluation_finished(pipeline.name)
    return results


def _waited_for(data: MultiLoader, frames: Iterator[Frames], stop: Checked) -> Iterator[Frames]:
    """The same frames; while a worker is waited for, nothing has to be finished."""
    while True:
        try:
            if data.can_be_left:
                with interruptible(stop.check):
                    given = next(frames, None)
            else:
                given = next(frames, None)
        except (UserCodeError, UserError):
            # A signal to the whole process group ends the workers too: no fault of theirs.
            stop.check()
            raise
        if given is None:
            return
        yield given


def _limit(length: int | None, steps: Steps) -> int | None:
    """How many batches are run; None is all that there are, whatever length is claimed."""
    if isinstance(steps, int):
        return steps
    if steps >= 1 or length is None:
        return None
    return max(1, math.ceil(length * steps))
