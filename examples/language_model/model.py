"""A recurrent net that says which character comes next."""

from __future__ import annotations

import torch
from torch import Tensor, nn

State = tuple[Tensor, Tensor]
"""What the net remembers of the text so far: two tensors, float32 (layers, B, width)."""


class CharacterModel(nn.Module):
    """An LSTM over characters.

    Args:
        characters: How many there are.
        width: Features of a character, and of each layer.
        layers: Layers of the LSTM.
        dropout: Share of the features that are dropped between layers in training.
    """

    def __init__(self, characters: int, width: int, layers: int = 2, dropout: float = 0.1) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, width)
        self.lstm = nn.LSTM(width, width, layers, dropout=dropout, batch_first=True)
        self.decoder = nn.Linear(width, characters)

    def forward(self, text: Tensor, state: State) -> tuple[Tensor, State]:
        """Read on.

        Args:
            text: int64 (B, T).
            state: What is remembered of the text before.

        Returns:
            Scores of what comes next at each place, float32 (B, characters, T), and what is
            remembered now.
        """
        features, state = self.lstm(self.embedding(text), state)
        return self.decoder(features).transpose(1, 2), state

    def initial_state(self, batch_size: int) -> State:
        """What is remembered before the first character: zeros."""
        shape = (self.lstm.num_layers, batch_size, self.lstm.hidden_size)
        zeros = self.decoder.weight.new_zeros(shape)
        return zeros, zeros

    def run_inference(self, text: Tensor, state: State, length: int = 400) -> tuple[Tensor, State]:
        """Write on, each character drawn by its probability.

        Args:
            text: The beginning, int64 (1, T).
            state: What is remembered of the text before.
            length: How many characters to write.

        Returns:
            The beginning and what was written, int64 (1, T + length), and what is remembered then.
        """
        written = [text]
        for _ in range(length):
            scores, state = self(written[-1], state)
            written.append(torch.multinomial(scores[:, :, -1].softmax(dim=1), 1))
        return torch.cat(written, dim=1), state
