"""What the configs of the tests of ``verify-resume`` name: things that do not resume."""

from __future__ import annotations

import os
from itertools import count

import torch
from toys import Net, Points

Example = tuple[torch.Tensor, torch.Tensor]

_given = count()


class OfTheSystem(Points):
    """Noise of the operating system's, which nobody can repeat."""

    def __getitem__(self, index: int) -> Example:
        x, y = super().__getitem__(index)
        return x, y + os.urandom(1)[0] / 256


class Counting(Points):
    """Counts in its module what it gives."""

    def __getitem__(self, index: int) -> Example:
        x, y = super().__getitem__(index)
        return x + next(_given), y


class Fading(Net):
    """Has a plain number, which every call changes."""

    def __init__(self) -> None:
        super().__init__()
        self.strength = 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.strength *= 0.9
        return self.strength * super().forward(x)
