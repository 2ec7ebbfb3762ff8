"""Parts for sweeps: a dataset whose process dies, and one that has no number to give."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch
from toys import Net, Points


class Dying(Points):
    """Ends its process at an example that was given so often; a number of times, by a signal."""

    def __init__(self, at: int = 50, times: int = 1, signum: int = signal.SIGKILL) -> None:
        super().__init__()
        self.given, self.at, self.times, self.signum = 0, at, times, signum

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        self.given += 1
        deaths = Path("deaths")
        died = len(deaths.read_text()) if deaths.exists() else 0
        if self.given == self.at and died < self.times:
            deaths.write_text("x" * (died + 1))
            os.kill(os.getpid(), self.signum)
        return super().__getitem__(index)


class Growing(Net):
    """Gives no number where it should grow too far; beyond it finds no memory, and gives up."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.factor > 1e50:
            sys.exit(3)
        if self.factor > 1e40:
            torch.empty(2**50)
        if self.factor > 1e30:
            raise torch.OutOfMemoryError("out of memory, they say")
        return super().forward(x) * self.factor * (float("nan") if self.factor > 1e20 else 1.0)
