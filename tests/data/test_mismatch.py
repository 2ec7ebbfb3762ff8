"""Which example is not like the others, and when none is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from torchassistant.data.mismatch import find_mismatch

MAKERS: dict[str, Any] = {
    "tensor": lambda: torch.zeros(2),
    "another tensor": lambda: torch.zeros(3),
    "array": lambda: np.zeros(2),
    "whole number": lambda: 1,
    "number": lambda: 1.5,
    "text": lambda: "text",
    "list": lambda: [1, 2],
    "image": lambda: Image.new("L", (4, 4)),
    "nothing": lambda: None,
    "dict": lambda: {"a": torch.zeros(1)},
}
kinds = st.sampled_from([kind for kind in MAKERS if kind != "nothing"])


@given(kinds, st.integers(0, 30))
def test_none_is_odd_where_all_are_alike(kind: str, count: int) -> None:
    assert find_mismatch([(MAKERS[kind](), 1) for _ in range(count)]) is None


@given(kinds, st.sampled_from(list(MAKERS)), st.integers(6, 30), st.data())
def test_the_odd_one_is_found_beside_others_or_alone(
    usual: str, mismatch: str, count: int, data: st.DataObject
) -> None:
    if usual == mismatch:
        return
    place = data.draw(st.integers(0, count - 1))
    examples = [(1, MAKERS[mismatch if i == place else usual]()) for i in range(count)]
    found = find_mismatch(examples)
    assert found is not None
    assert found.row == place
    assert "in column 1, where the others have" in found.text
    alone = find_mismatch([examples[place]], examples[:place] + examples[place + 1 :], ("a", "b"))
    assert alone is not None
    assert alone.row == 0
    assert 'in column 1 ("b")' in alone.text


@given(st.lists(st.integers(1, 3), min_size=9, max_size=30))
def test_sizes_that_differ_make_nobody_odd(sizes: list[int]) -> None:
    most = max(sizes.count(size) for size in sizes)
    examples = [torch.zeros(size) for size in sizes]
    assert (find_mismatch(examples) is None) == (most <= 0.8 * len(sizes) or most == len(sizes))


@pytest.mark.parametrize("nones", [6, 9, 10])
def test_what_most_lack_is_not_missed(nones: int) -> None:
    assert find_mismatch([None if i < nones else "text" for i in range(10)]) is None


def test_what_stands_in_dicts_is_looked_at() -> None:
    def example(mask: Any) -> Any:
        return {"inputs": {"x": torch.zeros(2), "mask": mask}, "y": 1}

    mismatch = find_mismatch([example(torch.ones(2)), example(None), example(torch.ones(2))])
    assert mismatch is not None
    assert mismatch.row == 1
    assert 'has None in "inputs"["mask"], where the others have float32 tensors' in mismatch.text
