"""What the recipe of a language model names: a text as numbers, and a recurrent network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax
from torch.utils.data import Dataset

WORDS = 11
Hidden = tuple[Tensor, Tensor]


class Text(Dataset[tuple[Tensor, Tensor]]):
    """Windows of a text: words int64 (length,), and the words that follow each of them.

    Args:
        count: Words of the text, after the first.
        length: Words of a window.
        seed: What the text follows from.
    """

    def __init__(self, count: int, length: int, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.words = torch.randint(0, WORDS, (count + 1,), generator=generator)
        self.length = length

    def __len__(self) -> int:
        return (len(self.words) - 1) // self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        start, end = index * self.length, (index + 1) * self.length
        return self.words[start:end], self.words[start + 1 : end + 1]


class LanguageModel(nn.Module):
    """Words int64 (B, T) and a state → log-probabilities (B, T, WORDS), and the next state."""

    def __init__(self, width: int = 8, dropout: float = 0.2) -> None:
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.encoder = nn.Embedding(WORDS, width)
        self.rnn = nn.LSTM(width, width, 2, dropout=dropout)
        self.decoder = nn.Linear(width, WORDS)
        self.decoder.weight = self.encoder.weight
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)

    def forward(self, words: Tensor, hidden: Hidden) -> tuple[Tensor, Hidden]:
        output, hidden = self.rnn(self.drop(self.encoder(words.T)), hidden)
        return log_softmax(self.decoder(self.drop(output)), dim=2).transpose(0, 1), hidden

    def initial_state(self, batch_size: int) -> Hidden:
        zeros = self.encoder.weight.new_zeros(2, batch_size, self.rnn.hidden_size)
        return zeros, zeros


def flattened(scores: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
    """Every word of a batch as an example of its own."""
    return scores.reshape(-1, WORDS), words.reshape(-1)
