"""Entries of caches on disk, and manipulated ones: other content with matching digests."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from manifests import is_small_file
from PIL import Image

from torchassistant.cli.log_handler import messages_on_stderr
from torchassistant.data import CachedDataset
from torchassistant.data.cache.disk_cache import DiskStore
from torchassistant.data.cache.entry import BLOCK
from torchassistant.data.cache.values import encode

Content = dict[str, Any]

EXAMPLES: list[dict[str, Any]] = [
    {
        "tensor": torch.arange(6.0).reshape(2, 3) + number,
        "turned": torch.arange(6).reshape(2, 3).t(),
        "ragged": list(range(number)),
        "truth": torch.tensor([True, False]),
        "array": np.full((2, 2), number, ">i2"),
        "names": np.array(["a", "bc"]),
        "moment": np.array([number], "M8[s]"),
        "scalar": np.float32(number),
        "number": number,
        "float": number / 3,
        "text": "é" * number,
        "raw": bytes(range(number)),
        "nothing": None,
        "numbers": [1, 2, number],
        "mixed": ["a", (1, None), {"k": [0.5]}],
        "image": Image.new("RGB", (2, 3), (number, 8, 7)),
    }
    for number in range(8)
]
"""Every kind of value that is stored."""


class Listed:
    """The examples of a list.

    Args:
        examples: Given by index.
    """

    def __init__(self, examples: Sequence[Any]) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Any:
        return self.examples[index]


def filled(folder: Path, examples: Sequence[Any] = EXAMPLES) -> tuple[CachedDataset, str]:
    """A dataset with its cache, found or built, and what was printed meanwhile."""
    dataset = CachedDataset(Listed(examples), DiskStore(folder, None, "listed"), "listed")
    with contextlib.redirect_stderr(io.StringIO()) as stderr, messages_on_stderr():
        dataset.fill()
    return dataset, stderr.getvalue()


def complaint(dataset: CachedDataset, examples: Sequence[Any] = EXAMPLES) -> str | None:
    """How the examples of a dataset differ from those expected; None if they do not."""
    if len(dataset) != len(examples):
        return f"it has {len(dataset)} examples"
    for index, example in enumerate(examples):
        if encode(dataset[index]) != encode(example):
            return f"example {index} is {dataset[index]}"
    whole = list(range(len(examples)))
    given = dataset.columns_at(whole)
    expected = CachedDataset(dataset.dataset, dataset.store, "plain").columns_at(whole)
    for name in expected:
        if not _same(given[name], expected[name]):
            return f"the batch of {name} is {given[name]}"
    return None


def _same(one: Any, other: Any) -> bool:
    if isinstance(other, torch.Tensor):
        return type(one) is type(other) and torch.equal(one, other) and one.dtype == other.dtype
    if isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(encode(one) == encode(other))


def entry_in(folder: Path) -> Path:
    """The only entry of a folder of caches."""
    (entry,) = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return entry


def content_of(entry: Path) -> Content:
    """The description of an entry."""
    content: Content = json.loads((entry / "entry.json").read_text())["content"]
    return content


def write_content(entry: Path, content: Any) -> None:
    """Write another description into an entry, with its matching digest."""
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    (entry / "entry.json").write_text(json.dumps({"content": content, "digest": digest}))


def update_digests(entry: Path) -> None:
    """Update sizes and digests of an entry to those of its changed files."""
    content = content_of(entry)
    for number, column in enumerate(content["columns"]):
        for name in ("data", "codes", "offsets"):
            if column[name] is not None and is_small_file(entry / f"{number}.{name}"):
                column[name] = described((entry / f"{number}.{name}").read_bytes())
    write_content(entry, content)


def described(data: bytes) -> Content:
    """The description of a file."""
    blocks = [data[start : start + BLOCK] for start in range(0, len(data), BLOCK)]
    return {"size": len(data), "blocks": [hashlib.sha256(block).hexdigest() for block in blocks]}


def column_of(name: str) -> int:
    """The number of a column of :data:`EXAMPLES`."""
    return list(EXAMPLES[0]).index(name)


def with_layout(name: str, layout: Any) -> Callable[[Content], None]:
    """Changes the first layout of a column."""

    def change(content: Content) -> None:
        content["columns"][column_of(name)]["layouts"][0] = layout

    return change
