"""Updates of parameters after which averages follow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch.optim import Optimizer

from torchassistant.training.averages import Average
from torchassistant.training.stage import Stage
from torchassistant.training.steps.optimizer_update import OptimizerUpdate


def followed_by_averages(
    update: OptimizerUpdate, stage: Stage
) -> OptimizerUpdate | AveragingUpdate:
    """The same update, with the averages of what it changes; itself where there are none.

    Args:
        update: Of a pipeline.
        stage: Its averages are looked at.
    """
    pipeline = update.pipeline
    frozen = pipeline.graph.frozen
    averages = [
        average
        for average in stage.averages
        if average.averaging.interval == "step"
        and average.is_trained_by(pipeline.optimizers, frozen)
    ]
    return AveragingUpdate(update, averages) if averages else update


class AveragingUpdate:
    """An update of parameters, after which averages of them are brought up to date.

    Steps that a gradient scaler leaves out do not count; where several optimizers train one model,
    their steps count as one.

    Args:
        update: Changes the parameters of a pipeline.
        averages: Of models that it changes.
    """

    def __init__(self, update: OptimizerUpdate, averages: Sequence[Average]) -> None:
        self.update = update
        self.averages = averages
        self.by_optimizer: list[tuple[Average, set[int]]] = []

    def start_epoch(self) -> None:
        """Look at the optimizers and at the models again."""
        self.update.start_epoch()
        frozen = self.update.pipeline.graph.frozen
        self.by_optimizer = [
            (
                average,
                {id(one) for one in self.update.optimizers if average.is_trained_by([one], frozen)},
            )
            for average in self.averages
        ]
        for average in self.averages:
            average.prepare()

    def run(self) -> None:
        """See :meth:`OptimizerUpdate.run`."""
        if self.update.scaler is None:
            self.update.run()
            for average in self.averages:
                average.count()
            return
        with noting_steps(self.update.optimizers) as stepped:
            self.update.run()
        for average, optimizers in self.by_optimizer:
            if not optimizers.isdisjoint(stepped):
                average.count()


@contextmanager
def noting_steps(optimizers: Sequence[Optimizer]) -> Iterator[set[int]]:
    """Gives the ids of the optimizers that make a step in here."""
    stepped: set[int] = set()

    def note(optimizer: Optimizer, *_: Any) -> None:
        # A fused kernel is called in any case, and is told whether to do nothing.
        found = getattr(optimizer, "found_inf", None)
        if found is None or not found.item():
            stepped.add(id(optimizer))

    with ExitStack() as stack:
        for optimizer in optimizers:
            stack.callback(optimizer.register_step_post_hook(note).remove)
        yield stepped
