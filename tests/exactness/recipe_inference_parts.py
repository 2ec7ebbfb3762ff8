"""What the recipe of natural language inference names: pairs of sentences, and two networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

WORDS, LENGTH = 13, 5


class Pairs(Dataset[tuple[Tensor, Tensor, int, int]]):
    """Premise and hypothesis, int64 (LENGTH,) each; a label from 0 to 2; a number of the pair."""

    def __init__(self, count: int, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.words = torch.randint(0, WORDS, (count, 2, LENGTH), generator=generator)
        self.labels = torch.randint(0, 3, (count,), generator=generator).tolist()

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int, int]:
        premise, hypothesis = self.words[index]
        return premise, hypothesis, self.labels[index], index


class Encoder(nn.Module):
    """Words int64 (B, T) → a sentence float32 (B, 2 · width)."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.embed = nn.Embedding(WORDS, width)
        self.projection = nn.Linear(width, width)
        self.rnn = nn.LSTM(width, width, 2, dropout=0.2, bidirectional=True)

    def forward(self, words: Tensor) -> Tensor:
        embedded = self.projection(self.embed(words)).relu().transpose(0, 1)
        _, (hidden, _) = self.rnn(embedded)
        return hidden[-2:].transpose(0, 1).flatten(1)


class Classifier(nn.Module):
    """Two sentences (B, width) → scores (B, 3)."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.out = nn.Sequential(
            nn.Linear(2 * width, width), nn.ReLU(), nn.Dropout(0.2), nn.Linear(width, 3)
        )

    def forward(self, premise: Tensor, hypothesis: Tensor) -> Tensor:
        return self.out(torch.cat([premise, hypothesis], 1))
