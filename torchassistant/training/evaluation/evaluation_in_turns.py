"""A pass over evaluation data of which several processes run a batch each, by turns.

What is measured is brought together in the order of the batches, so that all processes have the
results of one. Random numbers follow from the number of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

from torch import nn
from torch.utils.data import IterableDataset

from torchassistant.codec import CodecError
from torchassistant.data import (
    MultiLoader,
    TurnOf,
    derived,
    generators_in,
    has_state,
    seed_all,
    seed_everything,
)
from torchassistant.frames import Frames
from torchassistant.parallel import World
from torchassistant.training.data_pass import DataPass
from torchassistant.training.pipeline import Pipeline

Measure = Callable[[Frames, int], dict[str, Any]]
"""Runs a batch, and gives what it measures of it: plain data and tensors."""


class EvaluationInTurns:
    """Runs the batches.

    Args:
        pipeline: Whose.
        world: Who takes turns.
    """

    def __init__(self, pipeline: Pipeline, world: World) -> None:
        processes = world.processes
        self.pipeline = pipeline
        self.processes = processes
        self.seed = derived(pipeline.seed, "evaluation", pipeline.name)
        self.data: MultiLoader = pipeline.evaluation_data(TurnOf(processes.rank, processes.size))
        self.generators = list(generators_in(pipeline.rng_holders).values())

    def run(self, batches: int, measure: Measure, take: Callable[[dict[str, Any]], None]) -> bool:
        """Run a pass.

        Args:
            batches: So many of the whole data.
            measure: Called for each batch that is run here.
            take: Called with what each batch of all has given, in their order.

        Returns:
            Whether it could be done; False where what is measured cannot be sent.
        """
        size, rank = self.processes.size, self.processes.rank
        with closing(DataPass(self.data, _Patient(), restarts=True)) as data_pass:
            data_pass.start(0)
            for first in range(0, batches, size):
                number, told = first + rank, None
                if number < batches:
                    self.seed_for("data", number)
                    frames = data_pass.next()
                    assert frames is not None, "the length of the data is known"
                    self.seed_for("batch", number)
                    own = range(first // size, first // size + 1)
                    told = data_pass.run(lambda w, n: measure(w[0], n.start), [frames], own)
                for place, given in enumerate(self._gathered(told), first):
                    if given is not None and "error" in given:
                        return False
                    if given is not None:
                        self.seed_for("metrics", place)
                        take(given)
        return True

    def _gathered(self, told: Mapping[str, Any] | None) -> list[dict[str, Any] | None]:
        try:
            return self.processes.gather_values(told)
        except CodecError as error:
            return self.processes.gather_values({"error": str(error)})

    def seed_for(self, what: str, number: int) -> None:
        """Let all that is random in a batch follow from its number."""
        seed = derived(self.seed, what, number)
        seed_everything(seed)
        if self.generators:
            seed_all(self.generators, seed)

    def close(self) -> None:
        """End what loads the data."""
        self.data.close()


class _Patient:
    """Waits for its batch: the other processes wait too."""

    def check(self) -> None:
        """Nobody gives up here alone."""


def can_take_turns(pipeline: Pipeline) -> bool:
    """Whether each batch of an evaluation can be run by itself, wherever that is."""
    is_plain = pipeline.eval_step is None and not pipeline.links and not pipeline.graph.carries
    run = [part for processor in pipeline.graph.processors.values() for part in processor.parts]
    # What it leaves behind, the next batch meets.
    run += [part for item in pipeline.losses for part in (item.loss.function, item.loss.transform)]
    if any(has_state(part) and not isinstance(part, nn.Module) for part in run):
        return False
    return is_plain and not any(
        source.restarts or isinstance(source.factory.dataset, IterableDataset)
        for source in pipeline.inputs
    )
