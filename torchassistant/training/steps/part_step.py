"""A step of the user's own that each of several processes makes with its part of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from torchassistant.data import generators_in
from torchassistant.errors import DataError
from torchassistant.frames import Frames
from torchassistant.parallel import World
from torchassistant.training.flat_gradients import FlatGradients
from torchassistant.training.pipeline import Pipeline
from torchassistant.training.progress import Progress
from torchassistant.training.steps.part_buffers import PartBuffers
from torchassistant.training.steps.part_gradients import mean_of, seed_part


class PartStep:
    """Makes what a process computes of its part that of the whole batch, call by call.

    Args:
        pipeline: Whose step.
        world: Which parts there are; each process holds one.
        progress: Where the run is.
    """

    def __init__(self, pipeline: Pipeline, world: World, progress: Progress) -> None:
        self.pipeline = pipeline
        self.world = world
        self.progress = progress
        self.buffers = PartBuffers(pipeline, world)
        self.buffers.start_epoch()
        self.generators = list(generators_in(pipeline.rng_holders).values())
        self.examples = 0

    def start(self, frames: Frames) -> None:
        """A step begins.

        Raises:
            DataError: There are fewer examples than processes.
        """
        self.examples = next(iter(frames.counts.values()))
        counts = self.world.processes.gather(torch.tensor([self.examples])).flatten()
        if not bool(counts.all()):
            raise DataError(
                f'a batch of the pipeline "{self.pipeline.name}" has fewer examples '
                f'({int(counts.sum())}) than there are processes, and a "train_step" cannot be '
                'called without any; "drop_last" leaves out a smaller last batch'
            )
        self._seed(self.world.own.start)
        self.buffers.start()
        if self.world.states is not None:
            self.world.states.start(0)

    def finish(self) -> None:
        """A step is done."""
        self.buffers.finish_part(is_empty=False)
        own = torch.tensor(self.buffers.changed, dtype=torch.bool)
        changed = self.world.processes.gather(own).any(0).tolist()
        self.buffers.share(changed, [True] * self.world.parts)
        self._seed("end")

    def _seed(self, part: int | str) -> None:
        seed_part(self.pipeline, self.progress, part, self.generators)

    def take_gradients(self, parameters: Sequence[Tensor]) -> list[Tensor | None]:
        """Take away what was added up before."""
        before = [parameter.grad for parameter in parameters]
        for parameter in parameters:
            parameter.grad = None
        return before

    def share_gradients(
        self, loss: Tensor, parameters: Sequence[Tensor], before: Sequence[Tensor | None]
    ) -> Tensor:
        """Leave the gradients of a loss over all parts, added to what was there before.

        Args:
            loss: Of this part, without gradient.
            parameters: They have the gradients of this part.
            before: What they had.

        Returns:
            The loss over all parts.
        """
        own = [parameter.grad for parameter in parameters]
        flat = FlatGradients(parameters)
        flats = [one.mul_(self.examples) for one in flat.joined(own)]
        row = [loss.item(), float(self.examples)]
        shared = self.world.exchange([row], [one is not None for one in own], [flats])
        value, count = mean_of(shared.table, sums=False)
        for one in shared.totals:
            one /= count
        for parameter, kept in zip(parameters, before, strict=True):
            parameter.grad = kept
        for parameter, gradient in flat.parted(shared.totals, shared.present):
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        return torch.tensor(value, dtype=loss.dtype, device=loss.device)

    def whole(self, losses: Sequence[tuple[str, Tensor, int]]) -> list[tuple[str, Tensor, int]]:
        """What a step has returned, over all parts."""
        rows = torch.tensor([[v.item(), float(n)] for _, v, n in losses], dtype=torch.float64)
        told = self.world.processes.gather(rows)
        found: list[tuple[str, Any, int]] = []
        for index, (name, _, _) in enumerate(losses):
            value, count = mean_of(told[:, index].tolist(), sums=False)
            found.append((name, torch.tensor(value, dtype=torch.float64), int(count)))
        return found
