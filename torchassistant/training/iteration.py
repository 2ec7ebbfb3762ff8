"""One iteration of one training pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from torchassistant.data.randomness import derived, seeded
from torchassistant.errors import DataError, UserCodeError, UserError
from torchassistant.graph import Frames
from torchassistant.training.pipeline import Pipeline
from torchassistant.training.scoring import RunningMean


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
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


class Trainer:
    """Trains over one pipeline.

    Args:
        pipeline: What is trained.
        clippers: Those of its trained models are used.
        schedulers: Those of its optimizers that step with the iterations are used.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        clippers: Sequence[GradientClipper] = (),
        schedulers: Sequence[Scheduler] = (),
    ) -> None:
        graph = pipeline.graph
        trained, optimizers = set(graph.trained), graph.optimizers
        self.pipeline = pipeline
        self.plan = graph.for_training()
        self.data = pipeline.training_data()
        self.optimizers = optimizers
        self.clippers = [clipper for clipper in clippers if clipper.model in trained]
        self.schedulers = [
            s for s in schedulers if s.interval == "step" and s.optimizer in optimizers
        ]
        self.metrics = [(m.shown_as, m.node, m.metric.fresh()) for m in pipeline.metrics]
        self.batches: Iterator[Frames] = iter(())
        self.frames: Frames = {}
        self.running: dict[str, RunningMean] = {}
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Begin a pass over the data."""
        self.batches, self.frames = self.data.frames(epoch), {}
        self.running = {item.shown_as: RunningMean(item.loss.sums) for item in self.pipeline.losses}
        self.losses = [
            (item.node, item.loss, item.weight, self.running[item.shown_as])
            for item in self.pipeline.losses
        ]

    def step(self) -> bool:
        """One iteration: forward, the weighted sum of losses, backward, clippers, one step.

        Returns:
            Whether there was a batch left.
        """
        frames = next(self.batches, None)
        if frames is None:
            return False
        try:
            self._train_on(frames)
        except UserCodeError as error:
            raise error.within(f'the pipeline "{self.pipeline.name}"') from error.__cause__
        return True

    def _train_on(self, frames: Frames) -> None:
        self.frames = self.plan.run(frames)
        total: torch.Tensor | None = None
        for node, loss, weight, running in self.losses:
            frame = frames[node]
            value = loss(frame)
            running.add(value, loss.rows(frame))
            weighted = value if weight == 1 else value * weight
            total = weighted if total is None else total + weighted
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        assert total is not None, "the check of the config asks for a loss"
        try:
            total.backward()
        except UserError:
            raise
        except Exception as error:
            if not total.requires_grad:
                raise DataError(
                    f'the losses of the pipeline "{self.pipeline.name}" do not depend on anything '
                    "that it trains"
                ) from None
            raise UserCodeError("the backward pass") from error
        try:
            for clipper in self.clippers:
                clipper()
            for optimizer in self.optimizers:
                optimizer.step()
            for item in self.schedulers:
                if item.monitor is None:
                    item.scheduler.step()
                else:
                    item.scheduler.step(self.last(item.monitor))
        except UserError:
            raise
        except Exception as error:
            raise UserCodeError("the step of its optimizers and schedulers") from error

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
            for name, node, metric in self.metrics:
                if node in self.frames:
                    metric.update(self.frames[node])
                    values[name] = metric.result()
        return values

    def finish_epoch(self) -> dict[str, float]:
        """The losses over the epoch, as they were met.

        Raises:
            DataError: The epoch had no batch.
        """
        if not self.frames:
            raise DataError(
                f'the loaders of the pipeline "{self.pipeline.name}" give no batch; with '
                '"drop_last" a dataset that is smaller than a batch gives none'
            )
        self.batches, self.frames = iter(()), {}
        return {name: running.value() for name, running in self.running.items()}
