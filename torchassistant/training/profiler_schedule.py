"""Which iterations of a run a profiler records."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch.profiler import ProfilerAction, profile

from torchassistant.training.events import Live
from torchassistant.training.profiler_names import span
from torchassistant.training.progress import Progress, Row
from torchassistant.training.reporter import Reporter

_SILENT = "6"


@dataclass(frozen=True, slots=True)
class Window:
    """Which steps of a profiler are recorded.

    Args:
        wait: So many are passed over, as the first ones of a run are like no others.
        warmup: In so many the profiler is on, as its own first steps are slow, and records nothing.
        active: So many are recorded.
    """

    wait: int = 5
    warmup: int = 3
    active: int = 10

    @classmethod
    def ending_by(cls, steps: int | None) -> Window:
        """A window that ends no later than these steps; None is for a number that is unknown."""
        full = cls()
        if steps is None:
            return full
        wait, warmup = min(full.wait, steps // 3), min(full.warmup, steps // 3)
        return cls(wait, warmup, max(1, min(full.active, steps - wait - warmup)))

    @property
    def steps(self) -> int:
        """The number of all of them."""
        return self.wait + self.warmup + self.active

    def __call__(self, step: int) -> ProfilerAction:
        """What the profiler does in a step, counted from 0."""
        left = self.steps - step
        if left <= 0 or step < self.wait:
            return ProfilerAction.NONE
        if step < self.wait + self.warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD_AND_SAVE if left == 1 else ProfilerAction.RECORD


class Recording(Reporter):
    """Records a few iterations once, with what follows each of them until the next one begins.

    A window that ends with an epoch holds its validation too.

    Args:
        save: Called with the profiler when its trace is ready.
    """

    def __init__(self, save: Callable[[profile], None]) -> None:
        self.save = save
        self.window: Window | None = None
        self.profiler: profile | None = None
        self.left: int | None = None  # iterations of the epoch at hand, where that is known
        self.validation = ExitStack()

    def epoch_started(self, progress: Progress, iterations: int | None) -> None:
        done = progress.within.iterations if progress.within is not None else 0
        self.left = None if iterations is None else iterations - done
        if self.window is None:
            self.window = Window.ending_by(self.left)
            self._start(self.window)

    def iteration_done(self, live: Live) -> None:
        if self.left is not None:
            self.left -= 1
        if self.left != 0:
            self._step()

    def evaluation_started(self, pipeline: str, batches: int | None) -> None:
        self.validation.enter_context(span(f'validation "{pipeline}"'))

    def evaluation_finished(self, pipeline: str) -> None:
        self.validation.close()

    def epoch_finished(self, progress: Progress, row: Row) -> None:
        if self.left is not None:
            self._step()

    def close(self) -> None:
        """Save what there is, if it was not saved yet."""
        self.validation.close()
        if self.profiler is not None:
            self.profiler.stop()
            self.profiler = None

    def _start(self, window: Window) -> None:
        if not torch.cuda.is_available():
            # The profiler's library says on standard error that it finds no GPU.
            os.environ.setdefault("KINETO_LOG_LEVEL", _SILENT)
        # There is one cycle; some versions warn that the events of one before it are not kept.
        self.profiler = profile(schedule=window, on_trace_ready=self.save, acc_events=True)
        self.profiler.start()

    def _step(self) -> None:
        if self.profiler is None or self.window is None:
            return
        self.profiler.step()
        if self.profiler.step_num >= self.window.steps:
            self.close()
