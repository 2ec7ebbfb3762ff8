"""The rows within an epoch: losses, learning rates and gradient norms, every so many iterations."""

from __future__ import annotations

import time
from collections.abc import Mapping

from torch.optim import Optimizer

from torchassistant.learning_rates import LearningRates
from torchassistant.training.events import Listener, Live, Phase, Phases
from torchassistant.training.progress import Progress, Row
from torchassistant.training.stage import Checkpointer, Stage
from torchassistant.training.step_log import StepLog


def step_header(stage: Stage) -> list[str]:
    """The names of all columns of the rows within the epochs of a stage."""
    optimizers = _optimizers(stage)
    norms = [f"grad_norm/{name}" for name in optimizers]
    losses = _loss_columns(stage).values()
    return ["epoch", "step", *losses, *LearningRates(optimizers).columns, *norms, "time"]


class StepRows(Listener):
    """Adds a row after each iteration in which one is due.

    Args:
        log: What was measured since the last row.
        stage: What is trained.
        progress: Where the run is.
        checkpointer: Writes rows.
        phases: Puts events around the making of a row.
    """

    def __init__(
        self,
        log: StepLog,
        stage: Stage,
        progress: Progress,
        checkpointer: Checkpointer,
        phases: Phases,
    ) -> None:
        self.log = log
        self.progress = progress
        self.checkpointer = checkpointer
        self.phases = phases
        self.optimizers = _optimizers(stage)
        self.rates = LearningRates(self.optimizers)
        self.columns = _loss_columns(stage)

    def iteration_done(self, live: Live) -> None:
        if self.log.is_due(self.progress.step):
            with self.phases.during(Phase.METRICS):
                self.checkpointer.add_step(self._row())

    def _row(self) -> Row:
        losses, norms = self.log.take()
        row: Row = {"epoch": self.progress.epoch + 1, "step": self.progress.step}
        row |= {column: losses.get(measured) for measured, column in self.columns.items()}
        row |= self.rates.of(self.optimizers)
        row |= {f"grad_norm/{name}": norms.get(name) for name in self.optimizers}
        row["time"] = time.time()
        return row


def _optimizers(stage: Stage) -> Mapping[str, Optimizer]:
    """The optimizers of its training pipelines, by name."""
    return {p.name_of(one): one for p in stage.training for one in p.optimizers}


def _loss_columns(stage: Stage) -> dict[tuple[str, str], str]:
    """The column of each (training pipeline, display name): the one that it has in other rows."""
    known = stage.columns
    return {
        (pipeline.name, name): known.get((pipeline.name, name), f"{pipeline.name} {name}")
        for pipeline in stage.training
        for name in pipeline.trained_losses
    }
