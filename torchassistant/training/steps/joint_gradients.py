"""The gradients of a step in which all processes run every model at the same time.

They do where each holds a piece of the models, or where batch norm is over the parts of all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from torchassistant.errors import DataError
from torchassistant.frames import Frames
from torchassistant.graph import buffers_of
from torchassistant.training.accumulation import Accumulation, Summand
from torchassistant.training.events import Batch
from torchassistant.training.flat_gradients import FlatGradients
from torchassistant.training.losses.weighted_losses import LossValues
from torchassistant.training.optimizer_calls import parameters_of
from torchassistant.training.steps.part_gradients import PartGradients, is_filled, numbers_of
from torchassistant.training.steps.synced_batch_norm import SyncedBatchNorms

Table = list[list[float]]
"""Of each part a row of numbers."""


class JointGradients(PartGradients):
    """Every process runs its part at the same time as the others.

    A loss is divided by its terms over all parts before its backward pass, so that those are told
    in between. For a part without an example another one's stands in, and counts nothing. Gradients
    of shared models torch adds up in the backward pass, row by row.
    """

    def start_epoch(self) -> None:
        """See :class:`PartGradients`."""
        super().start_epoch()
        self.norms = SyncedBatchNorms(self.world.processes)
        if self.world.syncs_batch_norm:
            self.norms.look_at(self.pipeline.reached)

    def compute(self, window: Sequence[Frames], numbers: range, iteration: int) -> list[LossValues]:
        """See :class:`PartGradients`."""
        with self.norms:
            return self._compute(window, numbers, iteration)

    def _compute(
        self, window: Sequence[Frames], numbers: range, iteration: int
    ) -> list[LossValues]:
        weights = None if self.weights is None else self.weights.now()
        parameters = parameters_of(self.pipeline.optimizers)
        accumulation = Accumulation(parameters, self.backward.run)
        self._seed(self.world.own.start)
        self.buffers.start()
        self.buffers.start_part()
        if self.world.states is not None:
            self.world.states.start(0)
        tables: list[Table] = []
        found: list[LossValues] = []
        for place, (number, frames) in enumerate(zip(numbers, window, strict=True)):
            if place:
                for handle in self.batch_accumulated:
                    handle(self.pipeline)
                self.frames.clear()
            self.frames = self.part_frames[0] = frames
            losses, summands = self._run(frames, place, weights)
            if place + 1 == len(window):
                self.buffers.finish_part(is_empty=not any(map(is_filled, window)))
            row = self._told(losses, summands)
            shared = self.world.exchange([row], self.buffers.changed, [[]])
            tables.append(shared.table)
            batch = self._batch(shared.table, range(number, number + 1), iteration)
            found.append(batch.losses)
            for handle_losses in self.losses_computed:
                handle_losses(batch, self.value)
            accumulation.add(self._of_whole(summands, shared.table, is_only=len(window) == 1))
        accumulation.finish()
        if not self.world.shares_models:
            self._add_up(parameters)
        if self.backward.scaler is not None:
            self.backward.unscale(self.backward.scaler)
        self._seed("end")
        filled = [any(row[0] for row in rows) for rows in zip(*tables, strict=True)]
        self.buffers.share(shared.present, filled)
        whole = batch._replace(numbers=numbers)
        for handle_gradients in self.gradients_computed:
            handle_gradients(whole, self.value)
        return found

    def _add_up(self, parameters: Sequence[Tensor]) -> None:
        """Leave the sums of the gradients of all processes with the parameters."""
        if not self.flat.is_of(parameters):
            self.flat = FlatGradients(parameters)
        own = [parameter.grad for parameter in parameters]
        present = [gradient is not None for gradient in own]
        shared = self.world.exchange([[0.0]], present, [self.flat.joined(own)])
        for parameter, gradient in self.flat.parted(shared.totals, shared.present):
            parameter.grad = gradient

    def _run(
        self, frames: Frames, place: int, weights: Sequence[float] | None
    ) -> tuple[LossValues | None, Sequence[Summand]]:
        """Forward, losses; of what only stands in no values, and summands that are 0."""
        if is_filled(frames):
            losses, given = self.run_part(frames, 0)
            for handle in self.part_computed:
                handle(place, self.world.own.start, frames)
            return losses, [
                one if one.terms is None or float(one.terms) else _nothing(one, frames)
                for one in self.summands(given, weights)
            ]
        if self.carrying is not None or not frames:
            raise DataError(
                f'a batch of the pipeline "{self.pipeline.name}" has fewer examples than there are '
                'processes; "drop_last" leaves out a smaller last batch'
            )
        states = self.world.states
        put_back = [buffers_of(self.pipeline.reached)]
        put_back += [] if states is None else [states.noted()]
        frames.counts = dict.fromkeys(frames.counts, 1)
        self.norms.counts = False
        _, given = self.run_part(frames, 0)
        self.norms.counts = True
        frames.counts = dict.fromkeys(frames.counts, 0)
        for restore in put_back:
            restore()
        return None, [_nothing(one, frames) for one in self.summands(given, weights)]

    def _told(self, losses: LossValues | None, summands: Sequence[Summand]) -> list[float]:
        """The row of a part: whether it has examples, terms and totals of summands, all losses."""
        if self.known_kinds is None:
            told = self.world.processes.gather_values(len(summands))
            self.known_kinds = [0] * told[0]
        if len(summands) != self.kinds:
            raise DataError(
                f'the losses of the pipeline "{self.pipeline.name}" are over equal numbers of '
                "samples in one part of a batch, and over unequal ones in another, so that they "
                "cannot be added up"
            )
        if losses is None:
            return [0.0] * (1 + 2 * self.kinds + 2 * len(self.names))
        terms = [0.0 if one.terms is None else float(one.terms) for one in summands]
        totals = [one.total.item() for one in summands]
        return [1.0, *terms, *totals, *(x for loss in losses for x in numbers_of(loss))]

    def _of_whole(self, summands: Sequence[Summand], table: Table, is_only: bool) -> list[Summand]:
        """The summands of this part, over the terms of all.

        Args:
            summands: They.
            table: What all have told.
            is_only: Whether the step has no other batch; then one backward pass does for all.
        """
        terms = [sum(row[1 + index] for row in table) for index in range(len(summands))]
        whole = [
            one if one.terms is None else one._replace(terms=of_all)
            for one, of_all in zip(summands, terms, strict=True)
        ]
        if not is_only:
            return whole
        means = [one.total if one.terms is None else one.total / (one.terms or 1) for one in whole]
        return [Summand(None, torch.stack([*means]).sum(), None)]

    def _batch(self, table: Table, numbers: range, iteration: int) -> Batch:
        """A batch as all parts have told of it; leaves its weighted loss as ``value``."""
        kinds = self.kinds
        sums = [sum(column) for column in zip(*table, strict=True)]
        pairs = zip(sums[1 : 1 + kinds], sums[1 + kinds : 1 + 2 * kinds], strict=True)
        self.value = torch.tensor(sum(total / (terms or 1.0) for terms, total in pairs))
        (losses,) = self._whole_losses([row[1 + 2 * kinds :] for row in table], 1)
        bad = next((n for n, row in enumerate(table) if not all(map(math.isfinite, row))), 0)
        return Batch(iteration, numbers, self.frames, losses, part=bad)


def _nothing(summand: Summand, frames: Frames) -> Summand:
    """A summand that is 0, and leads back to all that it led back to: others wait for that."""
    nothing = summand.total * 0
    if not bool(nothing.isfinite()):
        nothing = torch.stack([(one * 0).sum() for one in _with_gradient(frames)]).sum()
    return summand._replace(total=nothing, terms=None if summand.terms is None else 0)


def _with_gradient(frames: Frames) -> Iterator[Tensor]:
    for frame in frames.values():
        for column in frame.values():
            if isinstance(column, Tensor) and column.requires_grad:
                yield column
