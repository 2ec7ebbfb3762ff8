"""What runs before each epoch of a stage: functions of the user, and pipelines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torchassistant.data import derived, seeded
from torchassistant.errors import blaming
from torchassistant.parallel import World
from torchassistant.training.evaluation.evaluator import evaluate
from torchassistant.training.pipeline import Pipeline
from torchassistant.training.progress import StopCheck


@dataclass(frozen=True, slots=True, eq=False)
class FunctionBeforeEpoch:
    """A function of the user, called with the session and the epoch, in each process.

    What it draws from the global random number generators follows from seed, name and epoch.

    Args:
        name: Of the definition.
        function: Called as ``function(session, epoch)``.
        session: The session.
        seed: Of the run.
    """

    name: str
    function: Callable[[Any, int], Any]
    session: Any
    seed: int

    def run(self, epoch: int, stop: StopCheck, world: World | None) -> None:
        """Call it; see ``stage.BeforeEpoch``."""
        stop.check()
        what = f'the callback "{self.name}", before epoch {epoch}'
        with blaming(what), seeded(derived(self.seed, "before epoch", self.name, epoch)):
            self.function(self.session, epoch)


@dataclass(frozen=True, slots=True, eq=False)
class PipelineBeforeEpoch:
    """A pass over all data of a pipeline, in eval mode and without gradients.

    Args:
        pipeline: Nothing of its results is kept; what it runs may keep them.
    """

    pipeline: Pipeline

    def run(self, epoch: int, stop: StopCheck, world: World | None) -> None:
        """Run it; see ``stage.BeforeEpoch``."""
        evaluate(self.pipeline, stop=stop, world=world)
