"""Where the time of an epoch goes: a clock that is read between the phases of an iteration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from time import perf_counter

import torch

PHASES = (
    "data",
    "forward",
    "backward",
    "optimizer",
    "metrics",
    "validation",
    "checkpoint",
    "other",
)
DATA, FORWARD, BACKWARD, OPTIMIZER, METRICS, VALIDATION, CHECKPOINT, OTHER = range(len(PHASES))
_OF_AN_ITERATION = (DATA, FORWARD, BACKWARD, OPTIMIZER)

Shares = dict[str, float]
"""The fraction of an epoch's time that each phase took; together they are 1."""


class Timing:
    """Adds up the seconds of each phase of an epoch.

    An iteration calls ``mark`` between its phases, and hands all marks over at its end: what runs
    once an iteration is five readings of the clock and one call.
    """

    def __init__(self) -> None:
        self.mark: Callable[[], float] = perf_counter
        self.start()

    def start(self) -> None:
        """An epoch begins."""
        self.seconds = [0.0] * len(PHASES)
        self.started = perf_counter()

    def iteration(
        self, asked: float, given: float, computed: float, derived: float, updated: float
    ) -> None:
        """An iteration of a pipeline is done.

        Args:
            asked: The mark before it waited for data.
            given: The mark when the data had come.
            computed: The mark after the losses.
            derived: The mark after the gradients.
            updated: The mark after the steps of the optimizers.
        """
        seconds = self.seconds
        seconds[DATA] += given - asked
        seconds[FORWARD] += computed - given
        seconds[BACKWARD] += derived - computed
        seconds[OPTIMIZER] += updated - derived

    def ended(self, asked: float) -> None:
        """A pipeline has waited for data since this mark, and there was none left."""
        self.seconds[DATA] += self.mark() - asked

    @contextmanager
    def of(self, phase: int) -> Iterator[None]:
        """What is done in here is of a phase; not for what runs once an iteration."""
        begin = perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] += perf_counter() - begin

    def shares(self) -> Shares:
        """How the time was spent since the start; phases that there were none of are left out."""
        total = perf_counter() - self.started
        seconds = self._seconds()
        seconds[OTHER] = max(0.0, total - sum(seconds))
        whole = sum(seconds)
        return {
            name: spent / whole for name, spent in zip(PHASES, seconds, strict=True) if spent > 0
        }

    def _seconds(self) -> list[float]:
        return list(self.seconds)


class DeviceTiming(Timing):
    """The same for a CUDA device, which works behind the host: its clock only sees the launches.

    In some iterations every mark puts an event into the stream of the device. The device's times
    between those divide what the host has counted for all iterations: its own time, and the time
    that it waited for the device afterwards. An event is read when it has passed, and so nothing
    waits for it.

    Args:
        device: The CUDA device.
    """

    EVERY = 23
    """One of so many iterations is a sample; a prime, so that pipelines that take turns all are."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        super().__init__()
        self.mark = self._mark

    def start(self) -> None:
        """An epoch begins."""
        super().start()
        self.iterations = 0
        self.waited = 0.0
        self.is_sampling = False
        self.events: list[torch.cuda.Event] = []
        self.sampled = [0.0] * len(PHASES)  # milliseconds of the device

    def iteration(
        self, asked: float, given: float, computed: float, derived: float, updated: float
    ) -> None:
        """An iteration of a pipeline is done; the next one may be a sample."""
        super().iteration(asked, given, computed, derived, updated)
        self.iterations += 1
        self.is_sampling = False
        # The first iteration of an epoch is unlike the others.
        if self.iterations % self.EVERY == 1 and self._has_passed():
            self._read()
            self.is_sampling = True

    @contextmanager
    def of(self, phase: int) -> Iterator[None]:
        """What is done in here is of a phase; what the device has left to do is not."""
        begin = perf_counter()
        torch.cuda.current_stream(self.device).synchronize()
        self.waited += perf_counter() - begin
        with super().of(phase):
            yield

    def _mark(self) -> float:
        if self.is_sampling:
            event = torch.cuda.Event(enable_timing=True)
            event.record(torch.cuda.current_stream(self.device))
            self.events.append(event)
        return perf_counter()

    def _has_passed(self) -> bool:
        return not self.events or self.events[-1].query()

    def _read(self) -> None:
        # An iteration without a step, or without data, has fewer marks, and is no sample.
        if len(self.events) == len(_OF_AN_ITERATION) + 1:
            for phase, (begin, end) in zip(_OF_AN_ITERATION, pairwise(self.events), strict=True):
                self.sampled[phase] += begin.elapsed_time(end)
        self.events.clear()

    def _seconds(self) -> list[float]:
        torch.cuda.current_stream(self.device).synchronize()
        self._read()
        seconds = super()._seconds()
        whole = sum(seconds[phase] for phase in _OF_AN_ITERATION) + self.waited
        sampled = sum(self.sampled)
        for phase in _OF_AN_ITERATION if sampled else ():
            seconds[phase] = whole * self.sampled[phase] / sampled
        return seconds


def timing_on(device: torch.device) -> Timing:
    """A clock for what is trained on a device."""
    return DeviceTiming(device) if device.type == "cuda" else Timing()
