"""The gradients of a step of which each process computes its parts."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from torchassistant.data import Generator, derived, generators_in, seed_all, seed_everything
from torchassistant.errors import DataError
from torchassistant.frames import Frames
from torchassistant.parallel import Shared, Summands, Tree, World
from torchassistant.training.accumulation import Accumulation, Summand
from torchassistant.training.events import (
    Batch,
    Listener,
    Parts,
    gradient_handlers_of,
    handlers_of,
)
from torchassistant.training.flat_gradients import FlatGradients
from torchassistant.training.losses.loss_weights import LossWeights
from torchassistant.training.losses.losses_by_key import losses_over_terms
from torchassistant.training.losses.weighted_losses import LossValues
from torchassistant.training.optimizer_calls import parameters_of
from torchassistant.training.pipeline import Pipeline
from torchassistant.training.progress import Progress
from torchassistant.training.steps.gradients import Backward, graph_forward
from torchassistant.training.steps.part_buffers import PartBuffers
from torchassistant.training.steps.part_carrying import PartCarrying


@dataclass(slots=True)
class _Part:
    """What one part of a step has given.

    Args:
        losses: Of each batch its losses; None of a batch in which the part has no example.
        kinds: For each kind of losses which one it is, as far as it is of one alone.
        totals: For each kind of losses its sum over terms.
        terms: For each kind how many terms that has; 0 where nothing is divided.
        gradients: For each kind the gradients of its sum, one flat tensor for each dtype.
        present: For each parameter whether there is a gradient.
    """

    losses: list[LossValues | None]
    kinds: list[int]
    totals: list[float]
    terms: list[float]
    gradients: list[Summands]
    present: list[bool]


class PartGradients:
    """The gradients of a step as if all its parts had been one batch.

    Each part is computed from the same weights and buffers, with random numbers that follow from
    the seed, the step and the number of the part. Then all parts are added up in one order, so that
    every process has the same gradients, losses and buffers, and decides alike.

    Args:
        pipeline: Whose; its ``world`` says which parts are computed here.
        listeners: Of losses and gradients.
        parts: Puts events around models, losses and backward passes.
        progress: Where the run is.

    Attributes:
        value: What the gradients of the last step are those of: a scalar tensor.
        part_frames: The frames of the last batch, of each own part.
    """

    def __init__(
        self, pipeline: Pipeline, listeners: Sequence[Listener], parts: Parts, progress: Progress
    ) -> None:
        assert pipeline.world is not None, "it is chosen where there is one"
        self.world: World = pipeline.world
        self.pipeline = pipeline
        self.progress = progress
        self.frames = Frames()
        self.part_frames = [Frames() for _ in self.world.own]
        self.losses_computed = handlers_of(listeners, Listener.losses_computed)
        self.batch_accumulated = handlers_of(listeners, Listener.batch_accumulated)
        self.part_computed = handlers_of(listeners, Listener.part_computed)
        self.gradients_computed = gradient_handlers_of(listeners)
        over_terms = losses_over_terms(pipeline, parts)
        self.weighted = over_terms.weighted
        self.weights = LossWeights(pipeline, progress) if pipeline.schedules else None
        compute = over_terms.of_batch if self.weights is None else over_terms.unweighted
        self.run_part = PartCarrying(graph_forward(pipeline, compute, parts), self.world)
        self.carrying = self.run_part if pipeline.graph.carries else None
        self.backward = Backward(pipeline, parts)
        self.buffers = PartBuffers(pipeline, self.world)
        self.names = [(name, item) for item in pipeline.losses for name in item.columns]
        self.known_kinds: list[int] | None = None
        self.value = torch.zeros(())
        self.kind_values: list[float] = []
        self.flat = FlatGradients([])
        self.start_epoch()

    def start_epoch(self) -> None:
        """Look again for what draws random numbers, and for buffers."""
        self.generators = list(generators_in(self.pipeline.rng_holders).values())
        self.buffers.start_epoch()

    def compute(self, window: Sequence[Frames], numbers: range, iteration: int) -> list[LossValues]:
        """See :class:`Gradients`; the window holds of each batch the frames of the own parts."""
        own = self.world.own
        parameters = parameters_of(self.pipeline.optimizers)
        if not self.flat.is_of(parameters):
            self.flat = FlatGradients(parameters)
        weights = None if self.weights is None else self.weights.now()
        self.buffers.start()
        parts = []
        for at, number in enumerate(own):
            self._seed(number)
            self.buffers.start_part()
            if self.world.states is not None:
                self.world.states.start(at)
            part = self._compute_part(window[at :: len(own)], at, parameters, weights)
            parts.append(part)
            self.buffers.finish_part(is_empty=not any(part.losses))
        self._agree_on_kinds(parts)
        present = [any(some) for some in zip(*(part.present for part in parts), strict=True)]
        present += self.buffers.changed
        rows = self._rows(parts, len(numbers))
        shared = self.world.exchange(rows, present, self._blocks(parts))
        self._seed("end")
        filled = [row[0] > 0 for row in shared.table]
        self.buffers.share(shared.present[len(parameters) :], filled)
        return self._finish(shared, numbers, iteration)

    def _blocks(self, parts: Sequence[_Part]) -> list[Summands]:
        """The sums over neighbours, as many as may be added up beforehand; uses up the parts'."""
        blocks, tree = [], Tree()
        for at, part in enumerate(parts, start=1):
            tree.add(self._flat(part))
            if at % self.world.block == 0:
                blocks.append(tree.total())
                tree = Tree()
        return blocks

    def _seed(self, part: int | str) -> None:
        seed_part(self.pipeline, self.progress, part, self.generators)

    def _compute_part(
        self,
        window: Sequence[Frames],
        at: int,
        parameters: Sequence[Tensor],
        weights: Sequence[float] | None,
    ) -> _Part:
        """The batches of one own part; gradients are taken away from the parameters."""
        accumulation = Accumulation(parameters, self.backward.run)
        found: list[LossValues | None] = []
        totals: dict[Hashable, float] = {}
        for place, frames in enumerate(window):
            if place:
                for handle in self.batch_accumulated:
                    handle(self.pipeline)
                self.part_frames[at].clear()
            self.part_frames[at] = frames
            if not is_filled(frames):
                found.append(None)
                continue
            self.frames = frames
            losses, summands = self.run_part(frames, at)
            summands = self.summands(summands, weights)
            for kind, summand in accumulation.add(summands).items():
                totals[kind] = totals.get(kind, 0.0) + summand.total.item()
            for handle_part in self.part_computed:
                handle_part(place, self.world.own[at], frames)
            found.append(losses)
        sums = list(accumulation.sums.items())
        gradients = zip(*(sum_.gradients for _, sum_ in sums), strict=True)
        present = [any(one is not None for one in some) for some in gradients]
        return _Part(
            found,
            [self.loss_of(kind) for kind, _ in sums],
            [totals[kind] for kind, _ in sums],
            [0.0 if sum_.terms is None else float(sum_.terms) for _, sum_ in sums],
            [sum_.whole(self.flat) for _, sum_ in sums],
            present or [False] * len(parameters),
        )

    def summands(self, given: Sequence[Any], weights: Sequence[float] | None) -> Sequence[Summand]:
        """What losses have given, each times its weight."""
        return given if weights is None else self.weighted(given, weights)

    def _agree_on_kinds(self, parts: Sequence[_Part]) -> None:
        """Find out how many kinds of losses there are; a process without examples cannot tell."""
        here = [part.kinds for part in parts if any(part.losses)]
        if self.known_kinds is None:
            told = self.world.processes.gather_values(here)
            self.known_kinds = next(kinds for some in told for kinds in some)
        if any(kinds != self.known_kinds for kinds in here):
            raise DataError(
                f'losses of the pipeline "{self.pipeline.name}" are over equal numbers of samples '
                "in one part of a batch, and over unequal ones in another, so that they cannot be "
                "added up"
            )

    @property
    def kinds(self) -> int:
        """How many kinds of losses there are, which are divided each by its own terms."""
        assert self.known_kinds is not None, "they were agreed on"
        return len(self.known_kinds)

    def loss_of(self, kind: Hashable) -> int:
        """The index of the loss that a kind is of; 0 where losses are added up anyway."""
        return 0

    def _flat(self, part: _Part) -> Summands:
        if part.gradients:
            return [flat for kind in part.gradients for flat in kind]
        return [flat for _ in range(self.kinds) for flat in self.flat.zeros()]

    def _rows(self, parts: Sequence[_Part], batches: int) -> list[list[float]]:
        rows = []
        for part in parts:
            if not any(part.losses):
                rows.append([0.0] * (1 + 2 * self.kinds + 2 * batches * len(self.names)))
                continue
            row = [1.0, *part.terms, *part.totals]
            for losses in part.losses:
                for index in range(len(self.names)):
                    row += [0.0, 0.0] if losses is None else numbers_of(losses[index])
            rows.append(row)
        return rows

    def _finish(self, shared: Shared, numbers: range, iteration: int) -> list[LossValues]:
        """Leave the gradients with the parameters, and tell of them."""
        table, kinds = shared.table, self.kinds
        sums = [
            sum(column) for column in zip(*(row[1 : 1 + 2 * kinds] for row in table), strict=True)
        ]
        terms = [one or 1.0 for one in sums[:kinds]]
        self.kind_values = [total / count for total, count in zip(sums[kinds:], terms, strict=True)]
        self.value = torch.tensor(sum(self.kind_values))
        losses = self._whole_losses([row[1 + 2 * kinds :] for row in table], len(numbers))
        bad = next((n for n, row in enumerate(table) if not all(map(math.isfinite, row))), 0)
        for number, values in zip(numbers, losses, strict=True):
            batch = Batch(iteration, range(number, number + 1), self.frames, values, part=bad)
            for handle in self.losses_computed:
                handle(batch, self.value)
        each = len(shared.totals) // kinds
        flats = [shared.totals[each * kind : each * (kind + 1)] for kind in range(kinds)]
        for flat, count in zip(flats, terms, strict=True):
            for one in flat:
                one /= count
        self.leave(flats, shared.present)
        if self.backward.scaler is not None:
            self.backward.unscale(self.backward.scaler)
        whole = batch._replace(numbers=numbers)
        for handle_gradients in self.gradients_computed:
            handle_gradients(whole, self.value)
        return losses

    def leave(self, flats: Sequence[Summands], present: Sequence[bool]) -> None:
        """Leave the gradients with the parameters.

        Args:
            flats: Of each kind of losses.
            present: For each parameter whether there is one.
        """
        first, *others = flats
        for flat in others:
            for one, other in zip(first, flat, strict=True):
                one += other
        for parameter, gradient in self.flat.parted(first, present):
            parameter.grad = gradient

    def _whole_losses(self, table: Sequence[Sequence[float]], batches: int) -> list[LossValues]:
        """The losses of whole batches: means over all terms."""
        found: list[LossValues] = []
        for place in range(batches):
            values: list[Any] = []
            for index, (name, item) in enumerate(self.names, start=place * len(self.names)):
                value, terms = mean_of(
                    [row[2 * index : 2 * index + 2] for row in table], item.loss.sums
                )
                values.append((name, item.node, torch.tensor(value, dtype=torch.float64), terms))
            found.append(values)
        return found


def seed_part(
    pipeline: Pipeline, progress: Progress, part: int | str, own: Sequence[Generator]
) -> None:
    """Let all that is random in a part of a step follow from the seed, the step and the part.

    Args:
        pipeline: Whose step.
        progress: Where the run is.
        part: Its number; or what comes after all parts.
        own: Generators that objects of the pipeline keep.
    """
    within = progress.within
    its_pass = None if within is None else within.passes.get(pipeline.name)
    repeat = 0 if its_pass is None else its_pass.steps
    seed = derived(pipeline.seed, pipeline.name, "step", progress.step, repeat, part)
    seed_everything(seed)
    if own:
        seed_all(own, seed)


def is_filled(frames: Frames) -> bool:
    """Whether there is an example in the frames of a part."""
    return any(frames.counts.values())


def mean_of(parts: Sequence[Sequence[float]], sums: bool) -> tuple[float, float]:
    """A loss over all parts, and its number of terms.

    Args:
        parts: Of each its value, and the number of terms that this is of.
        sums: Whether values are sums, and not means.
    """
    counted = [(value, terms) for value, terms in parts if terms]
    terms = sum(terms for _, terms in counted)
    if not terms:
        return 0.0, 0.0
    if len(counted) == 1:
        return counted[0][0], terms
    whole = sum(value if sums else value * count for value, count in counted)
    return whole if sums else whole / terms, terms


def numbers_of(loss: tuple[str, str, Tensor, Any]) -> list[float]:
    """The value of a loss, and the number of its terms."""
    _, _, value, terms = loss
    return [value.item(), float(terms)]
