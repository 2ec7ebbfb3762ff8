"""One pass over the data of a pipeline without changing anything."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from torchassistant.data import MultiLoader, derived, object_rngs_seeded, seeded
from torchassistant.errors import DataError, UserCodeError
from torchassistant.frames import Frames
from torchassistant.parallel import World
from torchassistant.training.batch_run import BatchRun
from torchassistant.training.carrying import carrying
from torchassistant.training.data_pass import DataPass
from torchassistant.training.evaluation.evaluation_in_turns import (
    EvaluationInTurns,
    can_take_turns,
)
from torchassistant.training.evaluation.linked_data import evaluation_data_of
from torchassistant.training.events import Listener, Part, Parts, emit, handlers_of
from torchassistant.training.losses.losses_and_metrics import Metric
from torchassistant.training.losses.losses_by_key import LossByKey
from torchassistant.training.losses.metric_values import Results
from torchassistant.training.losses.running_losses import with_sums
from torchassistant.training.losses.running_mean import RunningMean
from torchassistant.training.pipeline import Pipeline, PipelineLoss, PipelineMetric
from torchassistant.training.progress import StopCheck, StopRequest
from torchassistant.training.reporter import Reporter
from torchassistant.training.steps.own_step import evaluating_step

Steps = int | float
"""How much of a pass: a count of batches, or a fraction of them (as a float)."""


KeepBatch = Callable[[MultiLoader, int, Frames], None]
"""Called with the data, the number of a batch of it, and the batch with what was computed."""


def _keep_nothing(data: MultiLoader, number: int, frames: Frames) -> None:
    """Nobody wants the batch."""


def evaluate(
    pipeline: Pipeline,
    steps: Steps = 1.0,
    reporter: Reporter | None = None,
    stop: StopCheck | None = None,
    keep: KeepBatch | None = None,
    world: World | None = None,
) -> Results:
    """Losses (means over samples) and metrics (of the whole pass) by display name.

    Eval mode, no gradient, unshuffled. Random numbers that are drawn here follow from the seed
    and the name of the pipeline alone, so the same weights give the same result wherever the
    pipeline is evaluated, and training goes on as if nothing had been drawn.

    Args:
        pipeline: What is evaluated.
        steps: A count of batches, or a fraction of as many as the data says that it has.
        reporter: Is called for every batch.
        stop: Ends the pass early.
        keep: Is called with each batch that was measured, and with what has given it.
        world: The processes that evaluate it together; None: this one alone.

    Raises:
        Interrupted: ``stop`` asked for it.
    """
    listeners = [] if reporter is None else [reporter]
    for bring_up_to_date in pipeline.graph.before_evaluation:
        bring_up_to_date(stop or StopRequest())
    with closing(Evaluator(pipeline, stop or StopRequest(), listeners, world)) as evaluator:
        if keep is not None:
            evaluator.keep = keep
        return evaluator.run(steps)


class Evaluator:
    """Evaluates a pipeline, again and again.

    Args:
        pipeline: What is evaluated.
        stop: Ends a pass early.
        listeners: Of passes and batches.
        world: The processes that evaluate it together; None: this one alone.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        stop: StopCheck,
        listeners: Sequence[Listener] = (),
        world: World | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.stop = stop
        self.data = evaluation_data_of(pipeline)
        self.seed = derived(pipeline.seed, "evaluation", pipeline.name)
        self.evaluation_started = handlers_of(listeners, Listener.evaluation_started)
        self.measuring_started = handlers_of(listeners, Listener.measuring_started)
        self.batch_measured = handlers_of(listeners, Listener.batch_measured)
        self.batch_evaluated = handlers_of(listeners, Listener.batch_evaluated)
        self.evaluation_measured = handlers_of(listeners, Listener.evaluation_measured)
        self.evaluation_finished = handlers_of(listeners, Listener.evaluation_finished)
        parts = Parts(listeners)
        may_give_dicts = any(item.loss.keys != () for item in pipeline.losses)
        self.losses: list[tuple[PipelineLoss, Any]] = [
            (
                item,
                parts.around(
                    LossByKey(item.loss) if may_give_dicts else item.loss, Part.LOSS, item.shown_as
                ),
            )
            for item in pipeline.losses
        ]
        self.batches = BatchRun.for_evaluation(
            pipeline.graph,
            pipeline.precision,
            self._add_losses_by_key if may_give_dicts else self._add_losses,
            lambda: pipeline.reached,
            parts.of_graph,
        )
        self.run_batch = self.batches.run
        self.own = evaluating_step(pipeline) if pipeline.eval_step is not None else None
        self.means: dict[str, RunningMean] = {}
        self.metrics: list[tuple[PipelineMetric, Metric]] = []
        self.keep: KeepBatch = _keep_nothing
        # Who wants to see whole batches sees all of them in each process, and shared models are run
        # by all at the same time.
        in_turns = world is not None and not world.shares_models and not self.batch_measured
        takes_turns = in_turns and can_take_turns(pipeline)
        self.turns = EvaluationInTurns(pipeline, world) if world and takes_turns else None

    def run(self, steps: Steps = 1.0) -> Results:
        """One pass; see :func:`evaluate`."""
        self._begin_anew()
        length = self.data.length()
        limit = limit_of(length, steps)
        totals = [total for total in (length, limit) if total is not None]
        emit(self.evaluation_started, self.pipeline.name, min(totals, default=None))
        emit(self.measuring_started, self.pipeline)
        try:
            with self._a_pass() as data_pass:
                if not self._measure_in_turns(limit):
                    data_pass.start(0)
                    self._measure_all(data_pass, limit)
                results = self._results()
        except UserCodeError as error:
            whole = f'the evaluation of the pipeline "{self.pipeline.name}"'
            raise error.in_part_of(whole) from error.__cause__
        emit(self.evaluation_measured, self.pipeline.name, results)
        emit(self.evaluation_finished, self.pipeline.name)
        return results

    def _begin_anew(self) -> None:
        self.means = self._fresh_means()
        self.metrics = [(item, item.metric.fresh()) for item in self.pipeline.metrics]

    def _fresh_means(self) -> dict[str, RunningMean]:
        if self.own is not None:
            return {name: RunningMean() for name in self.pipeline.evaluated_losses}
        losses = self.pipeline.losses
        return {item.shown_as: RunningMean(item.loss.sums) for item in losses}

    @contextmanager
    def _a_pass(self) -> Iterator[DataPass]:
        with (
            seeded(self.seed),
            object_rngs_seeded(self.pipeline.rng_holders, self.seed),
            self.batches.mode(),
            closing(DataPass(self.data, self.stop, restarts=True)) as data_pass,
        ):
            self.run_batch = carrying(self.pipeline.graph, self.batches.run)
            yield data_pass

    def _measure_in_turns(self, limit: int | None) -> bool:
        """A pass that several processes share; False where that cannot be."""
        known = None if self.turns is None else self.data.known_length()
        if self.turns is None or not known or self.keep is not _keep_nothing:
            return False
        self.means = {}
        batches = known if limit is None else min(known, limit)
        if self.turns.run(batches, self._measured_of, self._take):
            return True
        self._begin_anew()
        return False

    def _measured_of(self, frames: Frames, number: int) -> dict[str, Any]:
        """What one batch gives: the losses' sums over terms, and what metrics are measured of."""
        whole, self.means = self.means, self._fresh_means()
        try:
            self.run_batch(frames)
            means = {name: [*mean.state] for name, mean in self.means.items()}
        finally:
            self.means = whole
        count_of = self.pipeline.graph.count_of
        given = [
            [
                {n: frames[item.node][n] for n in metric.inputs if n in frames[item.node]},
                count_of(frames, item.node),
            ]
            for item, metric in self.metrics
        ]
        return {"means": means, "metrics": given}

    def _take(self, given: dict[str, Any]) -> None:
        for name, (total, terms) in given["means"].items():
            mean = self.means.setdefault(name, RunningMean())
            mean.total += total
            mean.terms += terms
        for (_, metric), (frame, samples) in zip(self.metrics, given["metrics"], strict=True):
            metric.update(frame, samples)
        for handle in self.batch_evaluated:
            handle()
        self.stop.check()

    def _measure_all(self, data_pass: DataPass, limit: int | None) -> None:
        done = 0
        while limit is None or done < limit:
            frames = data_pass.next()
            if frames is None:
                break
            data_pass.run(self._measure, [frames], range(done, done + 1))
            for handle_frames in self.batch_measured:
                handle_frames(self.pipeline, done, frames)
            self.keep(self.data, done, frames)
            done += 1
            frames.clear()  # outputs are not kept while the next batch is loaded
            for handle in self.batch_evaluated:
                handle()
            self.stop.check()
        if not done:
            raise DataError(f'the loaders of the pipeline "{self.pipeline.name}" give no batch')

    def _measure(self, window: Sequence[Frames], numbers: range) -> None:
        (frames,) = window
        if self.own is None:
            self.run_batch(frames)
        else:
            for name, value, examples in self.own(frames, numbers.start):
                self.means[name].add(value, examples)
        for item, metric in self.metrics:
            metric.update(frames[item.node], self.pipeline.graph.count_of(frames, item.node))

    def _add_losses(self, frames: Frames) -> None:
        for (item, loss), mean in zip(self.losses, self.means.values(), strict=True):
            # Not kept: a small tensor between large ones keeps their memory apart.
            mean.add(*loss(frames[item.node], self.pipeline.graph.count_of(frames, item.node)))

    def _add_losses_by_key(self, frames: Frames) -> None:
        for item, loss in self.losses:
            samples = self.pipeline.graph.count_of(frames, item.node)
            value, terms, named = loss(frames[item.node], samples)
            self.means[item.shown_as].add(value.detach(), terms)
            for key, one, count in named:
                mean = self.means.setdefault(f"{item.shown_as}/{key}", RunningMean(item.loss.sums))
                mean.add(one.detach(), count)

    def _results(self) -> Results:
        losses = {name: mean.value() for name, mean in self.means.items()}
        if self.own is None:
            losses = with_sums(self.pipeline.losses, losses)
        results = Results(losses)
        for item, metric in self.metrics:
            results.add(item.shown_as, metric.result())
        return results

    def close(self) -> None:
        """End what loads the data."""
        self.data.close()
        if self.turns is not None:
            self.turns.close()


def limit_of(length: int | None, steps: Steps) -> int | None:
    """How many batches are run; None is all that there are, whatever length is claimed."""
    if isinstance(steps, int):
        return steps
    if steps >= 1 or length is None:
        return None
    return max(1, math.ceil(length * steps))
