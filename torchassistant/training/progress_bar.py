"""What a person sees while a session trains: a bar where that can be redrawn, lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import Any, TextIO

from torchassistant.errors import in_one_line
from torchassistant.training.events import Live, Shares
from torchassistant.training.progress import Progress, Row
from torchassistant.training.reporter import Reporter

REDRAW_SECONDS = 0.2
LIVE_SHARE = 0.05


def reporter_for(stream: TextIO | None = None, stages: Sequence[str | int] = ()) -> Reporter:
    """A bar where the stream is a terminal, else lines.

    Args:
        stream: Where they are shown; None is standard error.
        stages: What the stages are called; those that have a number only are counted.
    """
    stream = stream or sys.stderr
    return (BarReporter if stream.isatty() else LineReporter)(stream, stages)


class LineReporter(Reporter):
    """One plain line an epoch."""

    def __init__(self, stream: TextIO, labels: Sequence[str | int] = ()) -> None:
        self.stream = stream
        self.labels = labels
        self.stages = 1
        self.epochs: int | None = None
        self.stage = 0
        self.stage_epoch = 0
        self.shares: Shares = {}

    def stage_started(self, progress: Progress, stages: int, epochs: int | None) -> None:
        self.stages, self.epochs, self.stage = stages, epochs, progress.stage

    def epoch_started(self, progress: Progress, iterations: int | None) -> None:
        self.stage_epoch = progress.stage_epoch + 1

    def epoch_timed(self, shares: Shares) -> None:
        self.shares = shares

    def row_added(self, progress: Progress, row: Row) -> None:
        self._say_row(f"{self.title()} after iteration {progress.stage_step}", row, "")

    def epoch_finished(self, progress: Progress, row: Row) -> None:
        self._say_row(self.title(), row, _spent(self.shares))

    def _say_row(self, title: str, row: Row, spent: str) -> None:
        shown = [
            f"{name} {value:.4g}"
            for name, value in row.items()
            if value is not None and name not in _NOT_SHOWN
        ]
        self._say("  ".join([title, *shown, f"{row['seconds']:.1f} s{spent}"]))

    def noted(self, sentence: str) -> None:
        self._say(sentence)

    def _say(self, sentence: str) -> None:
        self.stream.write(f"{in_one_line(sentence)}\n")
        self.stream.flush()

    def title(self) -> str:
        """Which stage, and which epoch of it."""
        of = f"/{self.epochs}" if self.epochs else ""
        label = self.labels[self.stage] if self.labels else self.stage
        called = f" ({in_one_line(label)})" if isinstance(label, str) else ""
        return f"stage {self.stage + 1}/{self.stages}{called} epoch {self.stage_epoch}{of}"


def _spent(shares: Shares) -> str:
    """Where the time went, as `` (data 31%, forward 22%)``."""
    shown = [
        f"{phase} {share:.0%}"
        for phase, share in shares.items()
        if phase != "other" or share >= 0.005
    ]
    return f" ({', '.join(shown)})" if shown else ""


_NOT_SHOWN = ("epoch", "step", "seconds")


class BarReporter(LineReporter):
    """A bar for each epoch, redrawn by the clock, and then one line."""

    def __init__(self, stream: TextIO, labels: Sequence[str | int] = ()) -> None:
        super().__init__(stream, labels)
        self.bar: Any = None
        self.waiting = 0
        self.next_redraw = 0.0
        self.iterations: int | None = None

    def epoch_started(self, progress: Progress, iterations: int | None) -> None:
        super().epoch_started(progress, iterations)
        self.iterations = iterations
        self._open(self.title(), iterations)

    def iteration_done(self, live: Live) -> None:
        self.waiting += 1
        now = time.monotonic()
        if now < self.next_redraw:
            return
        values = live()
        shown = "  ".join(f"{n} {v:.4g}" for n, v in values.items())
        self.bar.set_postfix_str(in_one_line(shown), False)
        self._advance()
        # Metrics of the batch at hand may be dear: they get a small share of the time.
        spent = time.monotonic() - now
        self.next_redraw = now + max(REDRAW_SECONDS, spent / LIVE_SHARE)

    def evaluation_started(self, pipeline: str, batches: int | None) -> None:
        self._open(f"{pipeline}", batches)

    def batch_evaluated(self) -> None:
        self.waiting += 1
        now = time.monotonic()
        if now >= self.next_redraw:
            self._advance()
            self.next_redraw = now + REDRAW_SECONDS

    def row_added(self, progress: Progress, row: Row) -> None:
        self.close()
        super().row_added(progress, row)
        done = progress.within.iterations if progress.within is not None else 0
        self._open(self.title(), self.iterations, done)

    def epoch_finished(self, progress: Progress, row: Row) -> None:
        self.close()
        super().epoch_finished(progress, row)

    def noted(self, sentence: str) -> None:
        if self.bar is not None:
            self.bar.clear()
        super().noted(sentence)
        if self.bar is not None:
            self.bar.refresh()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def _open(self, title: str, total: int | None, done: int = 0) -> None:
        from tqdm import tqdm

        self.close()
        self.waiting, self.next_redraw = 0, time.monotonic() + REDRAW_SECONDS
        self.bar = tqdm(
            desc=in_one_line(title),
            total=total,
            initial=done,
            file=self.stream,
            leave=False,
            **_width(self.stream),
            mininterval=0,
            miniters=0,
            unit="it",
        )

    def _advance(self) -> None:
        self.bar.update(self.waiting)
        self.waiting = 0


def _width(stream: TextIO) -> dict[str, Any]:
    """tqdm's arguments for the width. A terminal that does not know its own is taken for 80."""
    try:
        known = os.get_terminal_size(stream.fileno()).columns > 0
    except OSError:  # it was closed meanwhile
        known = False
    return {"dynamic_ncols": True} if known else {"ncols": 80}
