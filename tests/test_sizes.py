"""Sizes as a person writes them."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from torchassistant.config import Spec, read, validate
from torchassistant.config.blocks import ByteSize
from torchassistant.sizes import bytes_of, size_text

UNITS = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNITS |= {"kiB": 2**10, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


@given(
    whole=st.integers(1, 999_999_999),
    part=st.one_of(st.none(), st.text("0123456789", min_size=1, max_size=3)),
    space=st.sampled_from(["", " "]),
    unit=st.sampled_from(sorted(UNITS)),
)
def test_a_size_means_its_bytes(whole: int, part: str | None, space: str, unit: str) -> None:
    number = str(whole) if part is None else f"{whole}.{part}"
    assert bytes_of(f"{number}{space}{unit}") == int(Fraction(number) * UNITS[unit])


@given(st.text(st.sampled_from("0123456789.,-+ eEkKmMgGiIbB\n٣"), max_size=8))
def test_what_is_no_size_is_refused_everywhere_alike(text: str) -> None:
    by_hand = re.fullmatch(r"[1-9]\d{0,8}(\.\d{1,3})?[ ]?(B|[kKMG]i?B)", text, re.ASCII)
    accepted = by_hand is not None
    try:
        bytes_of(text)
        assert accepted
    except ValueError:
        assert not accepted
    try:
        TypeAdapter(ByteSize).validate_python(text, strict=True)
        assert accepted
    except ValidationError:
        assert not accepted


@given(st.integers(1, 10**14))
def test_bytes_for_a_person_are_near_and_can_be_read_back(size: int) -> None:
    assert abs(bytes_of(size_text(size)) - size) <= size / 100


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("5 apples", 'a whole number or a size such as "500 MB", found "5 apples"'),
        ("0 MB", 'a whole number or a size such as "500 MB", found "0 MB"'),
        ("", 'a whole number or a size such as "500 MB", found ""'),
        (0, "greater than 0 or a string, found 0"),
        (1.5, "a whole number or a string, found 1.5"),
        (True, "a whole number or a string, found true"),
    ],
)
def test_a_config_says_what_is_expected(value: Any, expected: str) -> None:
    spec = {"class": "a.B", "cache": "memory", "cache_limit": value}
    definition = {"group": "datasets", "name": "points", "spec": spec}
    diagnostics = read({"initialize": {"definitions": [definition]}})
    validate(Spec, diagnostics.tree, diagnostics)
    (told,) = map(str, diagnostics.problems)
    assert told == f"initialize.definitions[0].spec.cache_limit: expected {expected}"
