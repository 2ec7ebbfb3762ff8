"""Where the time of an epoch goes: a clock that is read between the phases of an iteration."""

from __future__ import annotations

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
_OF_AN_ITERATION = (DATA, FORWARD, BACKWARD, OPTIMIZER, METRICS)

Shares = dict[str, float]
"""The fraction of an epoch's time that each phase took; together they are 1."""


class Timing:
    """Adds up the seconds of each phase of an epoch.

    What has passed between two laps counts for the phase that the second one names. So the clock is
    read once a phase, and no time is missed.
    """

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """An epoch begins."""
        self.seconds = [0.0] * len(PHASES)
        self.last = perf_counter()

    def lap(self, phase: int) -> None:
        """A phase is over."""
        now = perf_counter()
        self.seconds[phase] += now - self.last
        self.last = now

    def iteration_done(self) -> None:
        """An iteration, and what was shown of it, is over."""
        self.lap(METRICS)

    def shares(self) -> Shares:
        """How the time was spent since the start; phases that there were none of are left out."""
        seconds = self._seconds()
        total = sum(seconds)
        return {
            name: spent / total for name, spent in zip(PHASES, seconds, strict=True) if spent > 0
        }

    def _seconds(self) -> list[float]:
        return self.seconds


class DeviceTiming(Timing):
    """The same for a CUDA device, which works behind the host: its clock only sees the launches.

    In some iterations every lap puts an event into the stream of the device. The device's time
    between the events then divides the time that the host counted for all iterations. Nothing
    waits for an event before the end of the epoch.

    Args:
        device: The CUDA device.
    """

    EVERY = 20
    """One of so many iterations is sampled."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        super().__init__()

    def start(self) -> None:
        """An epoch begins."""
        super().start()
        self.iterations = 0
        self.sampled = [0.0] * len(PHASES)  # milliseconds of the device
        self.events: list[tuple[int, torch.cuda.Event]] = []
        self.is_sampling = False

    def lap(self, phase: int) -> None:
        """A phase is over."""
        super().lap(phase)
        if self.is_sampling:
            self._record(phase)

    def iteration_done(self) -> None:
        """An iteration is over; the next one may be a sample."""
        super().iteration_done()
        self.iterations += 1
        # The first iteration of an epoch is unlike the others; the sample before must have passed.
        self.is_sampling = self.iterations % self.EVERY == 1 and self._has_passed()
        if self.is_sampling:
            self._fetch()
            self._record(OTHER)

    def _record(self, phase: int) -> None:
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        self.events.append((phase, event))

    def _has_passed(self) -> bool:
        return not self.events or self.events[-1][1].query()

    def _fetch(self) -> None:
        for (_, begin), (phase, end) in zip(self.events, self.events[1:], strict=False):
            self.sampled[phase] += begin.elapsed_time(end)
        self.events.clear()

    def _seconds(self) -> list[float]:
        if self.is_sampling:
            self.events.clear()  # the epoch ended before the iteration that was to be the sample
            self.is_sampling = False
        if self.events:
            self.events[-1][1].synchronize()
            self._fetch()
        sampled = sum(self.sampled[phase] for phase in _OF_AN_ITERATION)
        if not sampled:
            return self.seconds
        seconds = list(self.seconds)
        whole = sum(seconds[phase] for phase in _OF_AN_ITERATION)
        for phase in _OF_AN_ITERATION:
            seconds[phase] = whole * self.sampled[phase] / sampled
        return seconds


def timing_on(device: torch.device) -> Timing:
    """A clock for what is trained on a device."""
    return DeviceTiming(device) if device.type == "cuda" else Timing()
