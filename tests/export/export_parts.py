"""Models, adapters and data of the tests of ``export``, like those of people."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

Frame = dict[str, Any]


class Examples:
    """Examples of two columns, drawn once: (3,) float32 and (2,) float32."""

    def __init__(self, count: int = 12) -> None:
        generator = torch.Generator().manual_seed(3)
        self.first = torch.randn(count, 3, generator=generator)
        self.second = torch.randn(count, 2, generator=generator)

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.first[index], self.second[index]


class Sentences:
    """Lists of 1 to 6 word numbers from 1 on, and their class."""

    def __init__(self, count: int = 12) -> None:
        generator = torch.Generator().manual_seed(4)
        lengths = torch.randint(1, 7, (count,), generator=generator).tolist()
        self.words = [torch.randint(1, 9, (n,), generator=generator).tolist() for n in lengths]

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, index: int) -> tuple[list[int], int]:
        return self.words[index], len(self.words[index]) % 2


class LateSentences(Sentences):
    """The same, of which the first eight are as long as each other."""

    def __getitem__(self, index: int) -> tuple[list[int], int]:
        words = [1, 2, 3, 4] if index < 8 else [5, 6]
        return words, 0


class TwoInOne(nn.Module):
    """Two inputs, two outputs in a dict; batch norm, dropout, a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.second = nn.Linear(2, 4)
        self.norm = nn.BatchNorm1d(4)
        self.norm.running_mean.uniform_(-1, 1)
        self.norm.running_var.uniform_(0.5, 2)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("scale", torch.tensor([1.0, 2.0, 3.0, 4.0]))

    def forward(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        hidden = self.drop(self.norm(self.first(a) + self.second(b))).view(len(a), 4)
        return {"hidden": hidden * self.scale, "best": hidden.argmax(-1), "rest": a.sum()}


class Reader(nn.Module):
    """Padded word numbers (B, T), packed by their lengths, to scores (B, 2)."""

    def __init__(self, kind: str = "GRU", layers: int = 1, both: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(9, 4, padding_idx=0)
        made = getattr(nn, kind)
        self.rnn = made(4, 3, layers, batch_first=True, bidirectional=both)
        self.head = nn.Linear(6 if both else 3, 2)

    def forward(self, words: Tensor) -> Tensor:
        lengths = (words != 0).sum(1).cpu()
        packed = pack_padded_sequence(
            self.embedding(words), lengths, batch_first=True, enforce_sorted=False
        )
        states, _ = self.rnn(packed)
        padded, _ = pad_packed_sequence(states, batch_first=True, total_length=words.shape[1])
        return self.head(padded.sum(1))


class Attending(nn.Module):
    """Padded word numbers (B, T) through an encoder and attention, to scores (B, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(9, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 2)

    def forward(self, words: Tensor) -> Tensor:
        empty = words == 0
        memory = self.encoder(self.embedding(words), src_key_padding_mask=empty)
        found, _ = self.attention(memory[:, :1], memory, memory, key_padding_mask=empty)
        return self.head(found[:, 0])


class Translating(nn.Module):
    """Padded word numbers (B, T) through a transformer and attention of one head, to (B, T, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(9, 4)
        self.layers = nn.Transformer(4, 2, 1, 1, 8, batch_first=True)

    def forward(self, words: Tensor) -> Tensor:
        values = self.embedding(words)
        seen = nn.Transformer.generate_square_subsequent_mask(words.shape[1])
        found = self.layers(values, values, tgt_mask=seen)
        return scaled_dot_product_attention(found, values, values, (words != 0)[:, None])


class Beginning(nn.Module):
    """A GRU that begins with what it has learnt: (B, T, 2) and its state to (B, T, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(2, 3, batch_first=True)
        self.start = nn.Parameter(torch.ones(1, 1, 3))

    def forward(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        if state is None:
            state = self.start.expand(1, len(x), 3).contiguous()
        return self.gru(x, state)


class Stepping(nn.Module):
    """An LSTM that reads on: (B, T, 2) and its state to (B, T, 1) and the next state."""

    def __init__(self, layers: int = 2) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, 3, layers, batch_first=True)
        self.head = nn.Linear(3, 1)

    def forward(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        found, state = self.lstm(x, state)
        return self.head(found), state


class Shortened(nn.Module):
    """What it makes of a sequence (B, T, 2) but its end: (B, T - 1, 1), where T is 3 at least."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x[:, :-1])


class Generator(nn.Module):
    """Noise (B, 4, 1, 1) to images (B, 1, 4, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ConvTranspose2d(4, 3, 2),
            nn.BatchNorm2d(3),
            nn.ReLU(),
            nn.ConvTranspose2d(3, 1, 2, 2),
            nn.Tanh(),
        )
        self.layers[1].running_mean.uniform_(-1, 1)

    def forward(self, noise: Tensor) -> Tensor:
        return self.layers(noise)


class Deciding(nn.Module):
    """Chooses its way by the values of a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return self.layer(x)
        return -self.layer(x)


class OfOneSize(nn.Module):
    """Knows how large a batch is."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).view(int(x.shape[0]), 2)


class Drawing(nn.Module):
    """Draws in evaluation too."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + torch.randn(2)


class Noise:
    """An input adapter that draws what the generator is given."""

    def __call__(self, frame: Frame) -> dict[str, Frame]:
        return {"net": {"noise": torch.randn(len(frame["a"]), 4, 1, 1)}}


class ByNumPy:
    """An input adapter that goes through NumPy."""

    def __call__(self, frame: Frame) -> dict[str, Frame]:
        return {"net": {"x": torch.from_numpy(np.square(frame["a"].numpy()))}}


class Doubled:
    """An input adapter of tensor operations."""

    def __call__(self, frame: Frame) -> dict[str, Frame]:
        return {"net": {"x": 2 * frame["a"] + frame["b"].sum(-1, keepdim=True)}}


class AfterNumPy:
    """An output adapter that goes through NumPy."""

    def __call__(self, frame: Frame) -> Frame:
        return {**frame, "y": torch.from_numpy(frame["y"].numpy() + 1)}


class Inferring(nn.Module):
    """Answers otherwise when it is asked for a prediction."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)

    def run_inference(self, x: Tensor) -> Tensor:
        return self(x).argmax(-1)


class InferringByValue(Inferring):
    """The same, by the values of a tensor."""

    def run_inference(self, x: Tensor) -> Tensor:
        return self(x) if x.sum() > 0 else -self(x)


class Series(Examples):
    """Pieces of a series: (4, 2) float32, and what comes next, (4, 1)."""

    def __init__(self, count: int = 12) -> None:
        generator = torch.Generator().manual_seed(5)
        self.first = torch.randn(count, 4, 2, generator=generator)
        self.second = torch.randn(count, 4, 1, generator=generator)


class Pictures:
    """Pictures of 6 by 6 grey pixels, and a class."""

    def __getitem__(self, index: int) -> tuple[Any, int]:
        if index >= 12:
            raise IndexError(index)
        drawn = np.random.default_rng(index).integers(0, 256, (6, 6)).astype(np.uint8)
        return drawn, index % 2

    def __len__(self) -> int:
        return 12


class Texts:
    """Texts of a few words."""

    texts = ("one two", "two", "three one two", "four", "one one", "two three four one")

    def __getitem__(self, index: int) -> tuple[str]:
        return (self.texts[index % 6],)

    def __len__(self) -> int:
        return 12


class Tables:
    """Three numbers, and a colour."""

    def __getitem__(self, index: int) -> tuple[list[float], str]:
        return [float(index), 0.5 * index, -1.0], ("red", "green", "blue")[index % 3]

    def __len__(self) -> int:
        return 12


class OfThree(nn.Module):
    """Pictures (B, 1, 6, 6), words (B, T), numbers (B, 3) and colours (B,) to scores (B, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.pixels = nn.Conv2d(1, 2, 6)
        self.embedding = nn.Embedding(9, 2)
        self.colours = nn.Embedding(3, 2)
        self.numbers = nn.Linear(3, 2)

    def forward(self, pixels: Tensor, words: Tensor, numbers: Tensor, colour: Tensor) -> Tensor:
        found = self.pixels(pixels).flatten(1) + self.embedding(words).mean(1)
        return found + self.numbers(numbers) + self.colours(colour)


def share_of_class(y: Tensor, label: Tensor) -> Tensor:
    """A metric: how many are right."""
    return (y.argmax(-1) == label).float().mean()


class Halved:
    """A preprocessor of one's own."""

    def process(self, value: Any) -> Any:
        return value / 2
