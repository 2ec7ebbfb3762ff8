"""What metrics gave as tensors, read without torch: as torch wrote it, or refused."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from written_sessions import tensor_file

from torchassistant.files import InvalidFile
from torchassistant.report.row_tensors import Numbers, decoded, look_of
from torchassistant.session.history.row_data import encoded

TYPES = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
)


def plain(value: Any) -> Any:
    if isinstance(value, list):
        return [plain(part) for part in value]
    return (tuple(value.shape), value.flatten().tolist())


def read(value: Any) -> Any:
    if isinstance(value, list):
        return [read(part) for part in value]
    return (value.shape, list(value.values))


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_every_type_is_read_as_it_was_written(dtype: torch.dtype) -> None:
    numbers = (torch.arange(12) % 5).to(dtype)
    value = [numbers.view(3, 4), [numbers.clone(), numbers[:0].clone(), numbers[3].clone()]]
    assert read(decoded(encoded({"a": value}))["a"]) == plain(value)


WHOLE = tensor_file({"a": [[1.0, 2.0], [3.0, 4.0]], "b": ([0.0, 1.0], [0.0, 1.0])})


@given(st.binary(max_size=80), st.integers(0, len(WHOLE)), st.integers(0, 40))
def test_whatever_a_file_holds_is_read_or_refused(noise: bytes, at: int, length: int) -> None:
    for file in (noise, WHOLE[:at] + noise + WHOLE[at + length :]):
        try:
            values = decoded(file)
        except InvalidFile:
            continue
        for name, value in values.items():
            look_of(value, name)


JSON = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=4), st.just("a")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(JSON, JSON, JSON)
def test_whatever_a_header_says_is_read_or_refused(forms: Any, shape: Any, offsets: Any) -> None:
    header = {
        "__metadata__": {"torchassistant": json.dumps(forms)},
        "a": {"dtype": "F32", "shape": shape, "data_offsets": offsets},
    }
    told = json.dumps(header).encode()
    with suppress(InvalidFile):
        decoded(len(told).to_bytes(8, "little") + told + bytes(16))


def test_looks_are_guessed_from_shapes_and_names() -> None:
    line = Numbers((3,), [0.0, 0.5, 1.0])
    falls = Numbers((3,), [1.0, 0.5, 0.0])
    wide = Numbers((2, 3), [0.0, 0.5, 1.0] * 2)
    for value, about, look in (
        (line, "", "classes"),
        (wide, "", "matrix"),
        (Numbers((2, 1, 1), [0.0, 1.0]), "", "matrices"),
        (Numbers((), [1.0]), "", None),
        ([line, line, falls], "", "roc"),
        ([wide, wide], "", "roc"),
        ([line, falls], "", "precision-recall"),
        ([falls, line], "MulticlassPrecisionRecallCurve", "precision-recall"),
        ([falls, line], "", "curves"),
        ([line], "", None),
        ([line, wide], "", None),
    ):
        assert look_of(value, about) == look
