"""Which examples an epoch has met: arithmetic over the passes of its pipelines.

It follows the loop in numbers alone: which pass each pipeline was in, and how far it came.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from torchassistant.data import MultiLoader, Port, has_order, order_of_pass
from torchassistant.training.evaluation.evaluator import Steps, limit_of
from torchassistant.training.pipeline import Pipeline
from torchassistant.training.stage import Stage

Order = list[list[Any]]
"""The indices of each batch."""


class EpochSpan(NamedTuple):
    """An epoch: the index of its stage, and how many iterations it had."""

    stage: int
    iterations: int


class Met(NamedTuple):
    """A part of a pass: its number, the first batch, and the batch behind the last."""

    number: int
    first: int
    end: int


@dataclass(slots=True)
class _Pass:
    """Where a pipeline is in its pass.

    Args:
        number: Of the pass.
        done: So many batches of it are done.
        met: What was met in the epoch at hand.
    """

    number: int
    done: int = 0
    met: list[Met] = field(default_factory=list)

    def take(self, batches: int) -> None:
        """So many more batches are done."""
        first = self.done
        self.done += batches
        if self.met and self.met[-1].number == self.number and self.met[-1].end == first:
            first = self.met.pop().first
        self.met.append(Met(self.number, first, self.done))


def parts_met(stages: Sequence[Stage], epochs: Sequence[EpochSpan], pipeline: str) -> list[Met]:
    """What a training pipeline has met in the last of some epochs, in order.

    Args:
        stages: All of the run.
        epochs: From the first of the run on.
        pipeline: The name of one that the last epoch trains.
    """
    passes: dict[str, int] = {}
    running: dict[str, _Pass] = {}
    lengths = _Lengths()
    stage_index, begun = -1, 0
    for epoch, span in enumerate(epochs):
        stage = stages[span.stage]
        if span.stage != stage_index:
            stage_index, begun, running = span.stage, 0, {}
        if not isinstance(stage.epoch_length, int):
            running = {}
        for one in stage.training:
            if one.name in running:
                running[one.name].met = []
            else:
                number = max(epoch, passes.get(one.name, 0))
                passes[one.name] = number + 1
                running[one.name] = _Pass(number)
        if stage.takes_turns:
            _take_turns(stage, span.iterations, begun, running, passes, lengths)
        else:
            for one in stage.training:
                own = running[one.name]
                own.take(min(lengths.of(one, own.number), span.iterations * one.accumulated))
        begun += span.iterations
    return running[pipeline].met


def _take_turns(
    stage: Stage,
    iterations: int,
    begun: int,
    running: dict[str, _Pass],
    passes: dict[str, int],
    lengths: _Lengths,
) -> None:
    for number in range(iterations):
        stepped: set[str] = set()
        for one, turn in zip(stage.training, stage.all_turns, strict=True):
            is_fed = all(link.pipeline in stepped for link in one.links)
            if not is_fed or not turn.is_in(number if turn.by_epoch else begun + number):
                continue
            own = running[one.name]
            for _ in range(turn.repeat):
                if own.done >= lengths.of(one, own.number):
                    if not turn.restarts or not own.done:
                        break
                    own.number, own.done = passes[one.name], 0
                    passes[one.name] += 1
                left = lengths.of(one, own.number) - own.done
                own.take(int(min(one.accumulated, left)))
                stepped.add(one.name)


class _Lengths:
    """How many batches the passes of pipelines have; endless where only their data knows."""

    def __init__(self) -> None:
        self._data: dict[str, MultiLoader] = {}
        self._known: dict[tuple[str, int], float] = {}

    def of(self, pipeline: Pipeline, number: int) -> Any:
        """Of one pass: a whole number, or infinity."""
        data = self._data.get(pipeline.name)
        if data is None:
            data = self._data[pipeline.name] = pipeline.training_data()
        known = data.known_length()
        if known is not None:
            return known
        found = self._known.get((pipeline.name, number))
        if found is None:
            found = self._known[pipeline.name, number] = _length(data, number)
        return found


def _length(data: MultiLoader, number: int) -> float:
    ports = [port for port in data.ports if has_order(port) and not port.restarts]
    return min((len(list(order_of_pass(port, number))) for port in ports), default=math.inf)


def training_order(pipeline: Pipeline, port: str, parts: Sequence[Met]) -> Order | None:
    """The indices of each batch of some parts of passes; None where a port has none."""
    found = _port_of(pipeline.training_data(), port)
    if found is None:
        return None
    return [
        batch
        for number, first, end in parts
        for batch in islice(order_of_pass(found, number), first, end)
    ]


def evaluation_order(pipeline: Pipeline, port: str, steps: Steps) -> Order | None:
    """The same of a pass of evaluation.

    Args:
        pipeline: Which is evaluated.
        port: The name of the port.
        steps: A count of batches, or a fraction of them.
    """
    data = pipeline.evaluation_data()
    found = _port_of(data, port)
    if found is None:
        return None
    length = data.length()
    known = [number for number in (length, limit_of(length, steps)) if number is not None]
    return list(islice(order_of_pass(found, 0), min(known, default=None)))


def _port_of(data: MultiLoader, name: str) -> Port | None:
    found: Iterator[Port] = (port for port in data.ports if port.name == name and has_order(port))
    return next(found, None)
