"""What a person sees while a session trains: a bar where that can be redrawn, lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TextIO

from tqdm import tqdm
from tqdm.utils import disp_len

from torchassistant.errors import in_one_line
from torchassistant.terminal import is_terminal, known_width, painted, width_of
from torchassistant.training.best_values import BestValues
from torchassistant.training.epoch_line import EpochLines, joined_within, shortened
from torchassistant.training.events import Live, Shares
from torchassistant.training.progress import Progress, Row
from torchassistant.training.reporter import Reporter
from torchassistant.training.stage_clock import StageClock

REDRAW_SECONDS = 0.2
LIVE_SHARE = 0.05


def reporter_for(
    stream: TextIO | None = None,
    stages: Sequence[str | int] = (),
    best: BestValues | None = None,
    timing: bool = False,
) -> Reporter:
    """A bar where the stream is a terminal, else lines.

    Args:
        stream: Where they are shown; None is standard error.
        stages: What the stages are called; those that have a number only are counted.
        best: Knows which values are marked as the best so far.
        timing: Whether each epoch tells where its time went, and not only each stage.
    """
    stream = stream or sys.stderr
    return (BarReporter if is_terminal(stream) else LineReporter)(stream, stages, best, timing)


class LineReporter(Reporter):
    """One plain line an epoch.

    Args:
        stream: Where it is shown.
        labels: What the stages are called.
        best: Knows which values are marked as the best so far.
        timing: Whether each epoch tells where its time went.
    """

    def __init__(
        self,
        stream: TextIO,
        labels: Sequence[str | int] = (),
        best: BestValues | None = None,
        timing: bool = False,
    ) -> None:
        self.stream = stream
        self.labels = labels
        self.best = best or BestValues()
        self.timing = timing
        self.stages = 1
        self.epochs: int | None = None
        self.stage = 0
        self.stage_epoch = 0
        self.shares: Shares = {}
        self.clock = StageClock()
        self.lines = EpochLines()

    @property
    def width(self) -> int | None:
        """The columns of a line; None where it is as long as it is."""
        return None

    def stage_started(self, progress: Progress, stages: int, epochs: int | None) -> None:
        self.stages, self.epochs, self.stage = stages, epochs, progress.stage
        self.clock = StageClock(epochs)
        self.lines = EpochLines(partial(painted, colour="green", stream=self.stream))

    def epoch_started(self, progress: Progress, iterations: int | None) -> None:
        self.stage_epoch = progress.stage_epoch + 1
        self.clock.start_epoch(progress.stage_epoch)

    def epoch_timed(self, shares: Shares) -> None:
        self.shares = shares
        self.clock.note_shares(shares)

    def row_added(self, progress: Progress, row: Row) -> None:
        done = progress.stage_step
        titles = self.titles()
        long, *short = titles
        self._write(
            self.lines.line(
                [f"{long} after iteration {done}", *(f"{title} it {done}" for title in short)],
                row,
                self.best.note(row),
                self.width,
            )
        )

    def epoch_finished(self, progress: Progress, row: Row) -> None:
        self.clock.finish_epoch()
        line = self.lines.line(self.titles(), row, self.best.note(row), self.width)
        spent = ", ".join(_percentages(self.shares)) if self.timing else ""
        if spent and self.width is None:
            line = f"{line} ({spent})"
        self._write(line)
        if spent and self.width is not None:
            self._write(f"  {joined_within(_percentages(self.shares, 0.005), self.width - 2)}")

    def stage_finished(self, progress: Progress) -> None:
        spent = _percentages(self.clock.shares(), 0.005)
        if spent:
            epochs = f"{self.clock.measured} epoch{'s' if self.clock.measured != 1 else ''}"
            took = _clock(self.clock.seconds)
            title = f"{self._stage_title()}: {epochs} in {took}"
            if self.width is not None and disp_len(title) > self.width:
                title = shortened(f"stage {self.stage + 1}: {epochs}, {took}", self.width)
            self._write(joined_within([title, *spent], self.width))

    def noted(self, sentence: str) -> None:
        self._write(in_one_line(sentence))

    def _write(self, line: str) -> None:
        self.stream.write(f"{line}\n")
        self.stream.flush()

    def titles(self) -> list[str]:
        """Which stage, and which epoch of it; each shorter than the one before."""
        digits = len(str(self.epochs)) if self.epochs else 0
        of = f"/{self.epochs}" if self.epochs else ""
        epoch = f"{self.stage_epoch:>{digits}}{of}" if digits else f"{self.stage_epoch}"
        stage = f"{self.stage + 1}/{self.stages}"
        whole = f"{self._stage_title()} epoch {epoch}"
        plain = f"stage {stage} epoch {epoch}"
        if self.stages == 1:
            return [whole, plain, f"epoch {epoch}", epoch]
        return [whole, plain, f"{stage} epoch {epoch}", f"{stage}: {epoch}"]

    def _stage_title(self) -> str:
        label = self.labels[self.stage] if self.labels else self.stage
        called = f" ({in_one_line(label)})" if isinstance(label, str) else ""
        return f"stage {self.stage + 1}/{self.stages}{called}"


def _percentages(shares: Mapping[str, float], least: float = 0.0) -> list[str]:
    """Where the time went, as ``data 31%``."""
    return [
        f"{phase} {share:.0%}"
        for phase, share in shares.items()
        if share >= (0.005 if phase == "other" else least)
    ]


def _clock(seconds: float) -> str:
    """A time, as ``4.2 s`` or ``1:02:03``."""
    return f"{seconds:.1f} s" if seconds < 60 else str(tqdm.format_interval(seconds))


class BarReporter(LineReporter):
    """A bar for each epoch, redrawn by the clock, and then one line; see :class:`LineReporter`."""

    def __init__(
        self,
        stream: TextIO,
        labels: Sequence[str | int] = (),
        best: BestValues | None = None,
        timing: bool = False,
    ) -> None:
        super().__init__(stream, labels, best, timing)
        self.bar: Any = None
        self.waiting = 0
        self.next_redraw = 0.0
        self.iterations: int | None = None

    @property
    def width(self) -> int | None:
        """The columns of the terminal."""
        return width_of(self.stream)

    def epoch_started(self, progress: Progress, iterations: int | None) -> None:
        super().epoch_started(progress, iterations)
        self.iterations = iterations
        self._open(self._bar_title(), iterations)

    def iteration_done(self, live: Live) -> None:
        self.waiting += 1
        now = time.monotonic()
        if now < self.next_redraw:
            return
        self._show(live())
        self._advance()
        # Metrics of the batch at hand may be dear: they get a small share of the time.
        spent = time.monotonic() - now
        self.next_redraw = now + max(REDRAW_SECONDS, spent / LIVE_SHARE)

    def evaluation_started(self, pipeline: str, batches: int | None) -> None:
        self._open(shortened(in_one_line(pipeline), width_of(self.stream) // 3), batches)

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
        self._open(self._bar_title(), self.iterations, done)

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

    def _bar_title(self) -> str:
        titles = self.titles()
        return titles[0 if width_of(self.stream) >= _WIDE else 2]

    def _open(self, title: str, total: int | None, done: int = 0) -> None:
        self.close()
        self.waiting, self.next_redraw = 0, time.monotonic() + REDRAW_SECONDS
        # A terminal that does not know its own width is taken for the usual one.
        is_known = known_width(self.stream) is not None
        width = width_of(self.stream)
        self.bar = tqdm(
            desc=title,
            total=total,
            initial=done,
            file=self.stream,
            leave=False,
            bar_format=_bar_format(total is not None, width),
            **({"dynamic_ncols": True} if is_known else {"ncols": width}),
            mininterval=0,
            miniters=0,
            unit="it",
        )

    def _show(self, values: Mapping[str, float]) -> None:
        """Show behind the bar when the stage ends, and values, as far as there is room."""
        total = self.bar.total
        left = self.clock.left((self.bar.n + self.waiting) / total if total else None)
        parts = [] if left is None or self.epochs == 1 else [f"stage {_left(left)}"]
        parts += [in_one_line(f"{name} {value:.4g}") for name, value in values.items()]
        room = width_of(self.stream) - disp_len(self.bar.desc) - 2 * len(str(total or "")) - _FIXED
        self.bar.set_postfix_str(joined_within(parts, room) if room > _LEAST else "", False)

    def _advance(self) -> None:
        self.bar.update(self.waiting)
        self.waiting = 0


_WIDE = 100
"""From so many columns on the title of a bar is whole."""

_NARROW = 60
"""Below so many, a bar has the title, the percentage, and the time that is left."""

_FIXED = 40
"""So many columns are for the bar itself, percentage and times."""

_LEAST = 8


def _bar_format(is_known: bool, width: int) -> str:
    if not is_known:
        return "{desc}: {n_fmt} it {elapsed}" + ("{postfix}" if width >= _NARROW else "")
    if width < _NARROW:
        return "{desc}: {percentage:3.0f}%|{bar}| {remaining}"
    return "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {elapsed}<{remaining}{postfix}"


def _left(seconds: float) -> str:
    return str(tqdm.format_interval(round(seconds)))
