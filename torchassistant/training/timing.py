"""Where the time of an epoch goes: a clock that is read between the phases of an iteration."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from time import perf_counter

import torch

from torchassistant.training.events import Batch, Listener, Phase, Shares, Spent
from torchassistant.training.pipeline import Pipeline

PHASES = (
    "data",
    "forward",
    "backward",
    "optimizer",
    "metrics",
    "validation",
    "checkpoint",
    "callbacks",
    "other",
)
DATA, FORWARD, BACKWARD, OPTIMIZER, METRICS, VALIDATION, CHECKPOINT, CALLBACKS, OTHER = range(
    len(PHASES)
)
_OF_A_STEP = (DATA, FORWARD, BACKWARD, OPTIMIZER)
_PHASES = {
    Phase.METRICS: METRICS,
    Phase.VALIDATION: VALIDATION,
    Phase.SCHEDULERS: OPTIMIZER,
    Phase.CHECKPOINT: CHECKPOINT,
}


class Timing(Listener):
    """Adds up the seconds of each phase of an epoch.

    In each step the clock is read between the phases: five times, where it is a step of one batch.
    """

    def __init__(self) -> None:
        self.mark: Callable[[], float] = perf_counter
        self.requested = self.received = self.computed = self.differentiated = 0.0
        self.phase_began = 0.0
        self.backward_between = 0.0
        self.left = [0.0] * len(PHASES)
        self.start()

    def start(self) -> None:
        """An epoch begins."""
        self.seconds = [0.0] * len(PHASES)
        self.taken = [0.0] * len(PHASES)
        self.of_callbacks = 0.0
        self.started = perf_counter()

    def step_started(self, pipeline: Pipeline) -> None:
        self.requested = self.mark()

    def batches_received(self, pipeline: Pipeline) -> None:
        self.received = self.mark()
        self.backward_between = 0.0

    def pass_finished(self, pipeline: Pipeline) -> None:
        self.seconds[DATA] += self.mark() - self.requested

    def losses_computed(self, batch: Batch, total: torch.Tensor) -> None:
        self.computed = self.mark()

    def batch_accumulated(self, pipeline: Pipeline) -> None:
        # Backward of one batch, before the forward of the next one.
        self.backward_between += perf_counter() - self.computed

    def gradients_computed(self, batch: Batch, total: torch.Tensor) -> None:
        self.differentiated = self.mark()

    def step_finished(self, pipeline: Pipeline) -> None:
        updated = self.mark()
        computed = self.computed - self.backward_between
        seconds = self.seconds
        seconds[DATA] += self.received - self.requested
        seconds[FORWARD] += computed - self.received
        seconds[BACKWARD] += self.differentiated - computed
        seconds[OPTIMIZER] += updated - self.differentiated

    def phase_started(self, phase: Phase) -> None:
        self.phase_began = perf_counter()

    def phase_finished(self, phase: Phase) -> None:
        self.seconds[_PHASES[phase]] += perf_counter() - self.phase_began

    def note_callbacks(self, total: float) -> None:
        """Callbacks took so long by now, which is no part of the phase that they were called in."""
        seconds = total - self.of_callbacks
        self.of_callbacks = total
        # Whatever began before them began later, so to speak.
        self.requested += seconds
        self.received += seconds
        self.computed += seconds
        self.differentiated += seconds
        self.phase_began += seconds

    def shares(self) -> Shares:
        """How the time was spent since the start; phases that there were none of are left out."""
        seconds = self._all_seconds()
        self.left = _difference(seconds, self.taken)
        whole = sum(seconds)
        return {
            name: spent / whole for name, spent in zip(PHASES, seconds, strict=True) if spent > 0
        }

    def take(self) -> Spent:
        """The seconds of each phase since this was asked last, or since the first start.

        What an epoch has spent after that, as to save its state, is of the next one.
        """
        seconds = self._all_seconds()
        new = _difference(seconds, self.taken)
        found = {
            name: before + now for name, before, now in zip(PHASES, self.left, new, strict=True)
        }
        self.taken, self.left = seconds, [0.0] * len(PHASES)
        return found

    def _all_seconds(self) -> list[float]:
        total = perf_counter() - self.started
        seconds = self._seconds()
        seconds[CALLBACKS] = self.of_callbacks
        seconds[OTHER] = max(0.0, total - sum(seconds))
        return seconds

    def _seconds(self) -> list[float]:
        return list(self.seconds)


class DeviceTiming(Timing):
    """The same for a CUDA device, which works behind the host: its clock only sees the launches.

    In some steps every mark puts an event into the stream of the device. The device's times
    between those divide what the host has counted for all steps: its own time, and the time
    that it waited for the device afterwards. An event is read when it has passed, and so nothing
    waits for it.

    Args:
        device: The CUDA device.
    """

    EVERY = 23
    """One of so many steps is a sample; a prime, so that pipelines that take turns all are."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        super().__init__()
        self.mark = self._mark

    def start(self) -> None:
        """An epoch begins."""
        super().start()
        self.steps = 0
        self.waited = 0.0
        self.is_sampling = False
        self.events: list[torch.cuda.Event] = []
        self.sampled = [0.0] * len(PHASES)  # milliseconds of the device

    def step_finished(self, pipeline: Pipeline) -> None:
        """A step is done; the next one may be a sample."""
        super().step_finished(pipeline)
        self.steps += 1
        self.is_sampling = False
        # The first step of an epoch is unlike the others.
        if self.steps % self.EVERY == 1 and self._has_passed():
            self._read()
            self.is_sampling = True

    def phase_started(self, phase: Phase) -> None:
        """What the device has left to do is not of this phase."""
        begin = perf_counter()
        torch.cuda.current_stream(self.device).synchronize()
        self.waited += perf_counter() - begin
        super().phase_started(phase)

    def _mark(self) -> float:
        if self.is_sampling:
            event = torch.cuda.Event(enable_timing=True)
            event.record(torch.cuda.current_stream(self.device))
            self.events.append(event)
        return perf_counter()

    def _has_passed(self) -> bool:
        return not self.events or self.events[-1].query()

    def _read(self) -> None:
        # A step that was skipped, or found no data, has fewer marks, and is no sample.
        if len(self.events) == len(_OF_A_STEP) + 1:
            for phase, (begin, end) in zip(_OF_A_STEP, pairwise(self.events), strict=True):
                self.sampled[phase] += begin.elapsed_time(end)
        self.events.clear()

    def _seconds(self) -> list[float]:
        torch.cuda.current_stream(self.device).synchronize()
        self._read()
        seconds = super()._seconds()
        whole = sum(seconds[phase] for phase in _OF_A_STEP) + self.waited
        sampled = sum(self.sampled)
        for phase in _OF_A_STEP if sampled else ():
            seconds[phase] = whole * self.sampled[phase] / sampled
        return seconds


def _difference(now: list[float], before: list[float]) -> list[float]:
    """What was added; what a device has measured since may divide the time otherwise."""
    return [max(0.0, one - other) for one, other in zip(now, before, strict=True)]


def timing_on(device: torch.device) -> Timing:
    """A clock for what is trained on a device."""
    return DeviceTiming(device) if device.type == "cuda" else Timing()
