"""The progress of a run in a notebook: one output of plain text, which is rewritten in place."""

from __future__ import annotations

import io
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, TextIO, cast

from torchassistant.training import BarReporter, BestValues, Reporter

LINES = 20
"""So many of the last lines are shown."""

_BURST = 10.0
_EACH_SECOND = 5.0
"""An output is rewritten this often; front ends cut off a kernel that sends without end."""

_MOVES = re.compile("([\r\n]|\x1b\\[A)")


def default_reporter(stages: Sequence[str | int], best: BestValues | None = None) -> Reporter:
    """Who shows the progress of a run where nobody was named: in a notebook a bar, else nobody.

    Args:
        stages: What the stages are called.
        best: Knows which values are marked as the best so far.
    """
    return NotebookReporter(Page(Output()), stages, best) if is_notebook() else Reporter()


def is_notebook() -> bool:
    """Whether this program is the kernel of a notebook; a terminal's IPython has no kernel."""
    if "IPython" not in sys.modules:
        return False
    return getattr(sys.modules["IPython"].get_ipython(), "kernel", None) is not None


class Output:
    """One output of a cell. Each call puts a text in place of the one before."""

    def __init__(self) -> None:
        self._handle: Any = None

    def __call__(self, text: str) -> None:
        data = {"text/plain": text}
        if self._handle is None:
            display = import_module("IPython.display").display
            self._handle = display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)


class Page(io.TextIOBase):
    r"""What a bar and lines are written to: it keeps the last lines, as a terminal would show them.

    Args:
        show: Gets the whole text.
    """

    encoding = "utf-8"  # tqdm draws with blocks then

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._shown = ""
        self._lines: deque[str] = deque(maxlen=LINES)
        self._count = 0
        self._line = ""
        self._credit = _BURST
        self._asked = time.monotonic()

    def write(self, text: str) -> int:
        """Add a text; a carriage return clears its line."""
        for part in _MOVES.split(text):
            if part == "\r":
                self._line = ""
            elif part == "\n":
                self._end_line()
            elif not _MOVES.fullmatch(part):  # a bar below another moves up and down
                self._line += part
        return len(text)

    def _end_line(self) -> None:
        if self._line.strip():
            self._lines.append(self._line)
            self._count += 1
        self._line = ""

    @property
    def text(self) -> str:
        """What is to be seen now."""
        left_out = self._count - len(self._lines)
        first = [f"… {left_out} lines before …"] if left_out else []
        return "\n".join([*first, *self._lines, self._line.rstrip()]).rstrip("\n")

    def flush(self) -> None:
        """Show it, unless that was done very often just now."""
        now = time.monotonic()
        self._credit = min(_BURST, self._credit + (now - self._asked) * _EACH_SECOND)
        self._asked = now
        if self._credit >= 1:
            self._credit -= 1
            self.show()

    def show(self) -> None:
        """Show it, if it is not shown already."""
        text = self.text
        if text != self._shown:
            self._shown = text
            self._show(text)


class NotebookReporter(BarReporter):
    """A bar, and one line an epoch, in one output.

    Args:
        page: Where they are shown.
        labels: What the stages are called.
        best: Knows which values are marked as the best so far.
    """

    def __init__(
        self, page: Page, labels: Sequence[str | int] = (), best: BestValues | None = None
    ) -> None:
        super().__init__(cast(TextIO, page), labels, best)
        self.page = page

    def close(self) -> None:
        super().close()
        self.page.show()
