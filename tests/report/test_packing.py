"""Packed numbers are exactly what they were."""

from __future__ import annotations

import struct
from base64 import b64decode

from hypothesis import given
from hypothesis import strategies as st

from torchassistant.report.packing import packed

CODES = {"i1": "b", "i2": "h", "i4": "i", "f4": "f", "f8": "d"}
NUMBERS = st.one_of(
    st.none(),
    st.integers(-300, 300),
    st.integers(-(2**40), 2**40),
    st.floats(),
    st.floats(width=32),
)


@given(st.lists(NUMBERS))
def test_nothing_is_lost(values: list[float | None]) -> None:
    found = packed(values)
    data = b64decode(found["data"])
    code = CODES[found["type"]]
    back: list[float | None] = list(
        struct.unpack(f"<{len(data) // struct.calcsize(code)}{code}", data)
    )
    for start, length in found.get("empty", []):
        back[start : start + length] = [None] * length
    assert [value is None for value in back] == [value is None for value in values]
    for value, read in zip(values, back, strict=True):
        if value is not None and read is not None:
            assert struct.pack("d", value) == struct.pack("d", read) or value != value


def test_whole_numbers_take_a_byte() -> None:
    assert packed([1, 2, None, 3]) == {"type": "i1", "data": "AQIAAw==", "empty": [(2, 1)]}
    assert packed([0.5])["type"] == "f4"
    assert packed([0.1])["type"] == "f8"
    assert packed([-0.0])["type"] == "f4"
