"""One iteration of one training pipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from torchassistant.compat.optimizers import mark_stepped
from torchassistant.data.multi_loader import FramesOfEpoch
from torchassistant.data.rng import derived, seeded
from torchassistant.data.workers import interruptible
from torchassistant.errors import DataError, UserCodeError, UserError
from torchassistant.frames import Frames
from torchassistant.graph import buffers_of, is_among
from torchassistant.training.accumulation import Accumulation
from torchassistant.training.forward import Forward
from torchassistant.training.losses_and_metrics import RunningMean, stretched_in, tell_stretched
from torchassistant.training.nan_guard import Batch, NanGuard, NotFinite, explained
from torchassistant.training.optimizer_calls import failure, parameters_of, stepping, zeroing
from torchassistant.training.pipeline import Pipeline
from torchassistant.training.progress import PassProgress, StopRequest
from torchassistant.training.timing import Timing


@dataclass(frozen=True, slots=True, eq=False)
class GradientClipper:
    """Limits the gradients of a model: each value first, then the norm of all of them.

    Args:
        model: Whose gradients.
        clip_value: Largest absolute value of one element.
        clip_norm: Largest L2 norm over all parameters (Pascanu et al., 2013).
    """

    model: nn.Module
    clip_value: float | None = None
    clip_norm: float | None = None

    def __call__(self) -> None:
        if self.clip_value is not None:
            torch.nn.utils.clip_grad_value_(self.model.parameters(), self.clip_value)
        if self.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)


@dataclass(frozen=True, slots=True, eq=False)
class Scheduler:
    """A learning rate scheduler and when it steps.

    Args:
        name: The name of its optimizer's definition.
        optimizer: Whose learning rate it sets.
        scheduler: The torch scheduler.
        interval: ``epoch`` or ``step``.
        monitor: The display name that it listens to, if it does.
    """

    name: str
    optimizer: Optimizer
    scheduler: Any
    interval: str = "epoch"
    monitor: str | None = None


_SMALLEST_SCALE = 2.0**-24
"""Of a loss; it is halved whenever a gradient is not finite."""


def _no_frames() -> FramesOfEpoch:
    yield from ()


class Trainer:
    """Trains over one pipeline.

    Args:
        pipeline: What is trained.
        clippers: Those of its trained models are used.
        schedulers: Those of its optimizers that step with the iterations are used.
        skips: Whether a batch whose loss or gradient is not finite is left out; else it ends the
            training.
        stop: Knows whether the run waits for data.
        timing: Is told how long each phase of an iteration has taken.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        clippers: Sequence[GradientClipper] = (),
        schedulers: Sequence[Scheduler] = (),
        skips: bool = False,
        stop: StopRequest | None = None,
        timing: Timing | None = None,
    ) -> None:
        graph = pipeline.graph
        trained, optimizers = pipeline.trained, pipeline.optimizers
        self.pipeline = pipeline
        self.forward = Forward(pipeline)
        self.data = pipeline.training_data()
        self.optimizers = optimizers
        self.clippers = [clipper for clipper in clippers if is_among(clipper.model, trained)]
        self.schedulers = [
            s for s in schedulers if s.interval == "step" and is_among(s.optimizer, optimizers)
        ]
        self.metrics = [
            (m.shown_as, m.node, graph.origins[m.node], m.metric.fresh()) for m in pipeline.metrics
        ]
        self.skips = skips
        self.stop = stop or StopRequest()
        self.timing = timing or Timing()
        self.can_be_left = self.data.can_be_left
        self.finite = NanGuard(optimizers, waits=skips)
        self.frames = Frames()
        self.start_epoch(0)

    def start_epoch(self, epoch: int, come: PassProgress | None = None) -> None:
        """Begin a pass over the data, or go on with one.

        Args:
            epoch: Counted from 0, over all stages.
            come: How far the pass has come.
        """
        come = come or PassProgress()
        self.begins_here, self.data_state = not come.done, come.data
        # What a pass that is done has drawn stays drawn: its sampler may have gone on since.
        self.batches = _no_frames()
        if not come.done:
            self.batches = self.data.frames(epoch, come.batches, come.data)
        self.frames = Frames()
        self.met, self.done, self.skipped = come.batches, come.done, come.skipped
        self.running = {
            item.shown_as: RunningMean(item.loss.sums, come.losses.get(item.shown_as, (0.0, 0)))
            for item in self.pipeline.losses
        }
        # Optimizers may have got parameters, and schedulers, since the last epoch.
        self.zeros = [zeroing(optimizer) for optimizer in self.optimizers]
        self.steps = [stepping(optimizer) for optimizer in self.optimizers]
        self.untrained = self._untrained()

    def _untrained(self) -> list[nn.Parameter]:
        """Parameters that run in this pipeline, and that another one may train."""
        models = self.pipeline.trained
        others = [m for m in self.pipeline.modules if not is_among(m, models)]
        if not any(True for m in others for _ in m.parameters()):
            return []
        trained = {id(p) for model in models for p in model.parameters()}
        untrained = {id(p): p for m in others for p in m.parameters() if p.requires_grad}
        return [p for key, p in untrained.items() if key not in trained]

    def step(self, iteration: int) -> bool:
        """One iteration: forward, the weighted sum of losses, backward, clippers, one step.

        Args:
            iteration: Its number over all stages, from 1.

        Returns:
            Whether there was a batch left.

        Raises:
            NotFinite: A loss or a gradient is not finite.
            Interrupted: The run is to be stopped, and no batch has come.
        """
        asked = self.timing.mark()
        window = self._window()
        if not window:
            self.timing.ended(asked)
            self.done = True
            return False
        stretched = None
        try:
            if self.data.has_changed:
                self.data.has_changed = False
                stretched = stretched_in(lambda: self._train_on(window, iteration, asked))
            else:
                self._train_on(window, iteration, asked)
        except NotFinite:
            raise
        except (UserError, UserCodeError) as error:
            raise self._explained(error, window) from error.__cause__
        if stretched is not None:
            tell_stretched(stretched, self._explained(stretched, window))
        self.met += len(window)
        return True

    def _explained(self, error: UserError | UserCodeError, window: list[Frames]) -> Exception:
        """What was raised for some batches; the data is to blame where an example is odd."""
        numbers = range(self.met, self.met + len(window))
        explained = self.data.explained(error, numbers, window[-1])
        if isinstance(explained, UserCodeError):
            return explained.within(f'the pipeline "{self.pipeline.name}"')
        return explained

    @property
    def iterations(self) -> int:
        """How many iterations of this pass are done."""
        return -(-self.met // self.pipeline.accumulated)

    def length(self) -> int | None:
        """The number of iterations in one pass, or None where a dataset does not say."""
        batches = self.data.length()
        return None if batches is None else -(-batches // self.pipeline.accumulated)

    def _window(self) -> list[Frames]:
        """The batches of one iteration.

        All are there before anything is computed: who gives up waiting for one leaves no trace.
        """
        window: list[Frames] = []
        while len(window) < self.pipeline.accumulated:
            frames = self._next()
            if frames is None:
                break
            window.append(frames)
        return window

    def _next(self) -> Frames | None:
        if not self.can_be_left:
            return next(self.batches, None)
        try:
            with interruptible(self.stop.check):
                return next(self.batches, None)
        except (UserCodeError, UserError):
            # A signal to the whole process group ends the workers too: no fault of theirs.
            self.stop.check()
            raise

    def _train_on(self, window: list[Frames], iteration: int, asked: float) -> None:
        mark = self.timing.mark
        given = mark()
        put_back = buffers_of(self.pipeline.reached) if self.skips else None
        for zero in self.zeros:
            zero()
        for parameter in self.untrained:
            parameter.requires_grad = False
        try:
            batch, computed = self._gradients(window, iteration)
        finally:
            for parameter in self.untrained:
                parameter.requires_grad = True
        if computed is None:
            return self._leave_out(batch, len(window), put_back)
        derived = mark()
        self._update()
        self.timing.iteration(asked, given, computed, derived, mark())
        overdue = self.finite.overdue()
        if overdue is not None:
            raise self._not_finite(overdue)
        return None

    def _gradients(self, window: list[Frames], iteration: int) -> tuple[Batch, float | None]:
        """Forward and backward.

        Returns:
            What was computed last, and the mark between the two halves; None in place of the mark
            where a loss or a gradient is not finite.
        """
        if self.pipeline.accumulated > 1:
            return self._accumulated(window, iteration)
        (frames,) = window
        self.frames = frames
        values, total = self.forward.losses_of(frames)
        computed = self.timing.mark()
        batch = Batch(iteration, range(self.met, self.met + 1), frames, values)
        if not self.finite.passes_loss(total):
            return batch, None
        self._backward(total)
        if not self._are_finite(total, batch):
            return batch, None
        self._note(batch)
        return batch, computed

    def _accumulated(self, window: list[Frames], iteration: int) -> tuple[Batch, float | None]:
        accumulation = Accumulation(parameters_of(self.optimizers), self._backward)
        noted = []
        computed = perf_counter()
        for number, frames in enumerate(window, start=self.met):
            if number > self.met:
                # What one batch has made is not kept while the next one is computed.
                self.frames.clear()
            self.frames = frames
            begun = perf_counter()
            values, parts, total = self.forward.over_terms(frames)
            computed += perf_counter() - begun
            batch = Batch(iteration, range(number, number + 1), frames, values)
            if not self.finite.passes_loss(total):
                return batch, None
            accumulation.add(parts)
            noted.append(batch._replace(frames=Frames()))
        accumulation.finish()
        whole = batch._replace(numbers=range(self.met, self.met + len(window)))
        if not self._are_finite(total, whole):
            return whole, None
        for batch in noted:
            self._note(batch)
        return whole, computed

    def _note(self, batch: Batch) -> None:
        for (_, _, value, terms), running in zip(batch.losses, self.running.values(), strict=True):
            running.add(value, terms)

    def _backward(self, total: torch.Tensor, again: bool = False) -> None:
        scaler = self.pipeline.scaler
        scaled = total if scaler is None else scaler.scale(total)
        try:
            scaled.backward(retain_graph=again)
        except UserError:
            raise
        except Exception as error:
            if not total.requires_grad:
                raise DataError(
                    f'the losses of the pipeline "{self.pipeline.name}" do not depend on anything '
                    "that it trains"
                ) from None
            raise UserCodeError("the backward pass") from error

    def _are_finite(self, total: torch.Tensor, batch: Batch) -> bool:
        """Whether the gradients are, so far as a scaler does not take care of that."""
        scaler = self.pipeline.scaler
        if scaler is None:
            return self.finite.passes_gradients(total, batch)
        for optimizer in self.optimizers:
            scaler.unscale_(optimizer)
        self.finite.look_later_at(total, batch)
        return True

    def _update(self) -> None:
        scaler = self.pipeline.scaler
        at: GradientClipper | Optimizer | Scheduler | None = None
        try:
            for clipper in self.clippers:
                at = clipper
                clipper()
            if scaler is None:
                for optimizer, step in zip(self.optimizers, self.steps, strict=True):
                    at = optimizer
                    step()
            else:
                for optimizer in self.optimizers:
                    at = optimizer
                    scaler.step(optimizer)
                    # Schedulers would warn where the first steps are left out for their scale.
                    mark_stepped(optimizer)
                scaler.update()
            for item in self.schedulers:
                at = item
                if item.monitor is None:
                    item.scheduler.step()
                else:
                    item.scheduler.step(self.last(item.monitor))
        except UserError:
            raise
        except Exception as error:
            where = f', in the pipeline "{self.pipeline.name}"'
            raise failure(self._named(at), error, where) from error

    def _named(self, part: GradientClipper | Optimizer | Scheduler | None) -> str:
        """What a part of an update is called in messages."""
        if isinstance(part, Scheduler):
            return f'the scheduler of the optimizer "{part.name}"'
        if isinstance(part, Optimizer):
            name = self.pipeline.optimizer_names.get(id(part), type(part).__name__)
            return f'the step of the optimizer "{name}"'
        return "the clipping of gradients"

    def _leave_out(self, batch: Batch, left_out: int, put_back: Callable[[], None] | None) -> None:
        """Go on as if the batches of an iteration had not been met, or end the training."""
        if put_back is None:
            raise self._not_finite(batch)
        self.skipped += left_out
        for zero in self.zeros:
            zero()
        put_back()

    def _not_finite(self, batch: Batch) -> NotFinite:
        return explained(batch, self.pipeline.name, self.pipeline.graph, self.data)

    def settle(self) -> None:
        """Wait until it is known that every step so far was finite.

        Raises:
            NotFinite: One was not.
        """
        overdue = self.finite.overdue(everything=True)
        if overdue is not None:
            raise self._not_finite(overdue)

    def progress(self) -> PassProgress:
        """How far the pass has come."""
        losses = {name: running.state for name, running in self.running.items()}
        data = self.data.state() if self.begins_here else self.data_state
        return PassProgress(self.met, self.done, losses, self.skipped, data)

    def last(self, shown_as: str) -> float:
        """A loss of the batch at hand."""
        running = self.running.get(shown_as)
        if running is None or running.latest is None:
            raise DataError(
                f'a scheduler of the pipeline "{self.pipeline.name}" listens to "{shown_as}" after '
                "each step; only the pipeline's own losses can be listened to so often"
            )
        return float(running.latest)

    def live(self) -> dict[str, float]:
        """The running losses, and the metrics of the batch at hand."""
        values = {name: running.value() for name, running in self.running.items()}
        with torch.no_grad(), seeded(derived(self.pipeline.seed, "bar")):
            for name, node, origin, metric in self.metrics:
                if node in self.frames:
                    metric.update(self.frames[node], self.frames.counts[origin])
                    values[name] = metric.result()
        return values

    def finish_epoch(self) -> dict[str, float]:
        """The losses over the epoch, as they were met.

        Raises:
            DataError: The epoch had no batch.
            NotFinite: A loss or a gradient was not finite.
        """
        if self.met == 0:
            raise DataError(
                f'the loaders of the pipeline "{self.pipeline.name}" give no batch; with '
                '"drop_last" a dataset that is smaller than a batch gives none'
            )
        self.settle()
        self.frames = Frames()
        scaler = self.pipeline.scaler
        if scaler is not None and scaler.get_scale() < _SMALLEST_SCALE:
            raise NotFinite(
                f'the gradients of the pipeline "{self.pipeline.name}" are infinite or NaN in '
                '"fp16", however small the losses are made; "bf16" has the range of float32'
            )
        return {name: running.value() for name, running in self.running.items()}

    def close(self) -> None:
        """End what loads the data."""
        self.batches.close()
