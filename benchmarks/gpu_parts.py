"""What the configs of the GPU's benchmarks name."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention
from torch.utils.data import Dataset

_DISTINCT = 4


class Images(Dataset[tuple[Tensor, Tensor]]):
    """Whole batches that are on the device: images float32 ``shape``, classes int64 (B,)."""

    def __init__(
        self, count: int, shape: Sequence[int], classes: int, device: str, channels_last: bool
    ) -> None:
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.count = count
        self.batches = [
            (
                torch.randn(*shape, device=device).to(memory_format=layout),
                torch.randint(classes, (shape[0],), device=device),
            )
            for _ in range(_DISTINCT)
        ]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.batches[index % _DISTINCT]


class Texts(Dataset[tuple[Tensor, Tensor]]):
    """Whole batches that are on the device: tokens int64 (B, T), and the next ones (B · T)."""

    def __init__(self, count: int, shape: Sequence[int], vocabulary: int, device: str) -> None:
        self.count = count
        rows, length = shape
        self.batches = [
            torch.randint(vocabulary, (rows, length + 1), device=device) for _ in range(_DISTINCT)
        ]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        tokens = self.batches[index % _DISTINCT]
        return tokens[:, :-1], tokens[:, 1:].flatten()


class Attention(nn.Module):
    """Causal self-attention: float (B, T, width) → float (B, T, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project_in = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        split = self.project_in(x).unflatten(-1, (3, self.heads, -1))
        query, key, value = split.permute(2, 0, 3, 1, 4)  # each (B, heads, T, width / heads)
        mixed = scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.project_out(mixed.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """A layer of a transformer, normalised first: float (B, T, width) → float (B, T, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm_1(x))
        return x + self.narrow(gelu(self.widen(self.norm_2(x)), approximate="tanh"))


class Transformer(nn.Module):
    """A decoder in the sizes of GPT-2 (Radford et al., 2019), its embedding tied to its head.

    Tokens int64 (B, T) → logits float (B · T, vocabulary).
    """

    def __init__(
        self,
        vocabulary: int = 50304,
        length: int = 1024,
        width: int = 768,
        layers: int = 12,
        heads: int = 12,
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(length, width)
        self.layers = nn.Sequential(*(Layer(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        nn.init.normal_(self.tokens.weight, std=0.02)
        self.head.weight = self.tokens.weight

    def forward(self, tokens: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.layers(self.tokens(tokens) + self.positions(places))
        return self.head(self.norm(x)).flatten(0, 1)
