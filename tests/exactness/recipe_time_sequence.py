"""The parts of the time sequence prediction: sine waves, and a network of two LSTM cells."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset


class SineWaves(Dataset[tuple[Tensor, Tensor]]):
    """Waves (T,), float64, each with its own phase: all but the last value, all but the first."""

    def __init__(self, first: int, last: int, length: int = 16, period: int = 5) -> None:
        phases = torch.arange(first, last, dtype=torch.float64).unsqueeze(1) * 1.7
        self.waves = torch.sin((torch.arange(length, dtype=torch.float64) + phases) / period)

    def __len__(self) -> int:
        return len(self.waves)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.waves[index, :-1], self.waves[index, 1:]


class Sequence(nn.Module):
    """Predicts the next value of a wave, at each of its steps.

    Args:
        hidden: Units of each cell.
    """

    def __init__(self, hidden: int = 5) -> None:
        super().__init__()
        self.hidden = hidden
        self.lstm1 = nn.LSTMCell(1, hidden)
        self.lstm2 = nn.LSTMCell(hidden, hidden)
        self.linear = nn.Linear(hidden, 1)

    def forward(self, waves: Tensor, future: int = 0) -> Tensor:
        """(B, T) → (B, T + future)."""
        state1 = state2 = (waves.new_zeros(len(waves), self.hidden),) * 2
        outputs = []
        for value in waves.split(1, dim=1):
            state1 = self.lstm1(value, state1)
            state2 = self.lstm2(state1[0], state2)
            output = self.linear(state2[0])
            outputs.append(output)
        for _ in range(future):
            state1 = self.lstm1(output, state1)
            state2 = self.lstm2(state1[0], state2)
            output = self.linear(state2[0])
            outputs.append(output)
        return torch.cat(outputs, dim=1)


def sequence(session: Any, hidden: int = 5) -> Sequence:
    """In float64, as the waves are."""
    return Sequence(hidden).double()
