"""Parts for sweeps: a dataset whose process dies, and one that has no number to give."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import torch
from toys import Net, Points


class Dying(Points):
    """Kills its process at an example that was given so often; once, or each time."""

    def __init__(self, at: int = 50, always: bool = False) -> None:
        super().__init__()
        self.given, self.at, self.always = 0, at, always

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        self.given += 1
        marker = Path("died")
        if self.given == self.at and (self.always or not marker.exists()):
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


class Growing(Net):
    """Gives no number where it should grow too far, and finds no memory beyond."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.factor > 1e30:
            raise torch.OutOfMemoryError("out of memory, they say")
        return super().forward(x) * self.factor * (float("nan") if self.factor > 1e20 else 1.0)
