"""What the recipe of a transformer names: sentences as dicts, and a model that goes by names."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

WORDS, LENGTH, CLASSES = 13, 6, 3


class Sentences(Dataset[dict[str, Tensor]]):
    """Sentences as a tokenizer gives them: ``input_ids``, ``attention_mask``, ``labels``."""

    def __init__(self, count: int, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.words = torch.randint(1, WORDS, (count, LENGTH), generator=generator)
        lengths = torch.randint(2, LENGTH + 1, (count,), generator=generator)
        self.mask = (torch.arange(LENGTH) < lengths[:, None]).long()
        self.words *= self.mask
        self.labels = torch.randint(0, CLASSES, (count,), generator=generator)

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {
            "input_ids": self.words[index],
            "token_type_ids": torch.zeros(LENGTH, dtype=torch.long),
            "attention_mask": self.mask[index],
            "labels": self.labels[index],
        }


class ModelOutput(OrderedDict[str, Any]):
    """A result whose parts have names."""


class Classifier(nn.Module):
    """Words int64 (B, T) → ``logits`` (B, CLASSES) and ``last_hidden_state`` (B, T, width)."""

    def __init__(self, width: int = 8, layers: int = 2) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, width, padding_idx=0)
        self.places = nn.Embedding(LENGTH, width)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, 2, 2 * width, dropout=0.1, batch_first=True)
            for _ in range(layers)
        )
        self.head = nn.Linear(width, CLASSES)

    def forward(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
    ) -> ModelOutput:
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        hidden = self.words(input_ids) + self.places(places)
        padding = None if attention_mask is None else attention_mask == 0
        for layer in self.layers:
            hidden = layer(hidden, src_key_padding_mask=padding)
        return ModelOutput(logits=self.head(hidden[:, 0]), last_hidden_state=hidden)
