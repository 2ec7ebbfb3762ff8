"""The losses of a pipeline over an epoch, as they were when each batch was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from torchassistant.data import derived, seeded
from torchassistant.errors import DataError
from torchassistant.frames import Frames
from torchassistant.training.losses.metric_values import shown
from torchassistant.training.losses.running_mean import RunningMean
from torchassistant.training.losses.weighted_losses import LossValues
from torchassistant.training.pipeline import Pipeline, PipelineLoss


class RunningLosses:
    """The mean of each loss of a pipeline over the terms of an epoch so far.

    Args:
        pipeline: Whose losses.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.start({})

    def start(self, state: Mapping[str, tuple[float, float]]) -> None:
        """Begin an epoch, or go on with one: with the sum over terms, and their number."""
        self.means = self.means_from(state)
        self.went_on = bool(state)

    def anew(self) -> RunningLosses:
        """Means of the same losses, over nothing yet."""
        return type(self)(self.pipeline)

    def means_from(self, state: Mapping[str, tuple[float, float]]) -> dict[str, RunningMean]:
        """A mean for each column, from where the state left it."""
        return {
            column: RunningMean(item.loss.sums, state.get(column, (0.0, 0)))
            for item in self.pipeline.losses
            for column in item.columns
        }

    def add(self, losses: LossValues) -> None:
        """Add the losses of a batch; waits for no GPU."""
        for (_, _, value, terms), mean in zip(losses, self.means.values(), strict=True):
            mean.add(value, terms)

    def latest(self, shown_as: str) -> float:
        """A loss of the last batch.

        Raises:
            DataError: The pipeline has no such loss.
        """
        mean = self.means.get(shown_as)
        if mean is None or mean.latest is None:
            raise DataError(
                f'a scheduler of the pipeline "{self.pipeline.name}" listens to "{shown_as}" after '
                "each step; only the pipeline's own losses can be listened to so often"
            )
        return float(mean.latest)

    def values(self) -> dict[str, float]:
        """The means by display name."""
        return with_sums(
            self.pipeline.losses, {name: mean.value() for name, mean in self.means.items()}
        )

    def measured(self) -> dict[str, float]:
        """The same; nothing where there was no batch."""
        return self.values() if self._has_begun else {}

    @property
    def _has_begun(self) -> bool:
        return self.went_on or any(mean.latest is not None for mean in self.means.values())

    def state(self) -> dict[str, tuple[float, float]]:
        """What :meth:`start` goes on from."""
        return {name: mean.state for name, mean in self.means.items()} if self._has_begun else {}


def with_sums(losses: Sequence[PipelineLoss], means: dict[str, float]) -> dict[str, float]:
    """The means over a pass; of a loss that gives a dict, the sum of those that are minimised.

    Its values may be means over unequal terms.
    """
    for item in losses:
        if item.loss.keys:
            means[item.shown_as] = sum(means[f"{item.shown_as}/{k}"] for k in item.loss.summed)
    return means


class BatchMetrics:
    """The metrics of a pipeline over single batches of its training.

    Args:
        pipeline: Whose metrics.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.graph = pipeline.graph
        self.seed = derived(pipeline.seed, "bar")
        self.metrics = [(m.shown_as, m.node, m.metric.fresh()) for m in pipeline.metrics]

    def of(self, frames: Frames) -> dict[str, float]:
        """The metrics of a batch by display name; leaves no trace in what training draws."""
        values: dict[str, float] = {}
        with torch.no_grad(), seeded(self.seed):
            for name, node, metric in self.metrics:
                if node in frames:
                    metric.update(frames[node], self.graph.count_of(frames, node))
                    values |= {shown(name, k): v for k, v in metric.result().numbers.items()}
        return values
