"""What is replaced for a while is there again afterwards, whatever happens."""

from __future__ import annotations

import math

import pytest

from torchassistant.assembly.monkeypatch import replaced


def test_attributes_are_replaced_and_put_back() -> None:
    before = math.sin, math.cos
    with replaced([(math, "sin", 1), (math, "cos", 2), (math, "sin", 3)]):
        assert (math.sin, math.cos) == (3, 2)
    assert (math.sin, math.cos) == before


def test_they_are_put_back_where_something_raises() -> None:
    before = math.sin
    with pytest.raises(AttributeError), replaced([(math, "sin", 1), (math, "nothing", 2)]):
        pass
    assert math.sin is before
    with pytest.raises(ZeroDivisionError), replaced([(math, "sin", 1)]):
        raise ZeroDivisionError
    assert math.sin is before
