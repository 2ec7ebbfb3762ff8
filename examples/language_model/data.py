"""The text: the documentation of this project, character by character."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))
"""A line feed and printable ASCII. The last of them also stands for all others."""

HELD_OUT = 0.1
"""The share of the text, at its end, that the model does not learn from."""


class Documentation(Dataset[tuple[Tensor, Tensor]]):
    """The files of ``docs/`` in a row, cut into pieces of equal length.

    An example is a piece and what comes next at each of its places: two int64 tensors (length,).
    The pieces follow each other without a gap.

    Args:
        part: ``"training"``, the first nine tenths, or ``"validation"``, the rest.
        length: Characters in a piece.
    """

    def __init__(self, part: str, length: int) -> None:
        files = sorted(Path("docs").glob("*.md"))
        codes = encoded("".join(file.read_text(encoding="utf-8") for file in files))
        held_out = round(HELD_OUT * len(codes))
        codes = codes[:-held_out] if part == "training" else codes[-held_out:]
        pieces = (len(codes) - 1) // length
        self.pieces = codes[: pieces * length].view(pieces, length)
        self.next = codes[1 : pieces * length + 1].view(pieces, length)

    def __len__(self) -> int:
        return len(self.pieces)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.pieces[index], self.next[index]


def encoded(text: str) -> Tensor:
    """The numbers of the characters, int64 (len(text),)."""
    numbers = {character: number for number, character in enumerate(CHARACTERS)}
    return torch.tensor([numbers.get(character, len(CHARACTERS) - 1) for character in text])


def decoded(codes: Iterable[int]) -> str:
    """The text of numbers of characters."""
    return "".join(CHARACTERS[code] for code in codes)
