"""The weights that a config can schedule: ramps and steps."""

from __future__ import annotations

import math

import pytest

from torchassistant.weights import CosineRamp, LinearRamp, PiecewiseConstant


def test_a_linear_ramp_goes_in_equal_steps_and_stays() -> None:
    weight = LinearRamp(1.0, 3.0, 4)
    assert [weight(step, 1) for step in range(7)] == [1.0, 1.5, 2.0, 2.5, 3.0, 3.0, 3.0]


def test_a_linear_ramp_ends_at_its_end_to_the_bit() -> None:
    assert LinearRamp(0.3, 0.1, 7)(7, 1) == 0.1


def test_a_cosine_ramp_is_half_a_wave() -> None:
    weight = CosineRamp(0.0, 2.0, 4)
    expected = [1 - math.cos(math.pi * step / 4) for step in range(5)]
    assert [weight(step, 1) for step in range(5)] == pytest.approx(expected)
    assert weight(0, 1) == 0.0
    assert weight(4, 1) == weight(100, 1) == 2.0


def test_values_hold_from_their_step_on() -> None:
    weight = PiecewiseConstant({"10": 0.5, "0": 0.0, "3": 1.0})
    assert [weight(step, 1) for step in (0, 2, 3, 9, 10, 99)] == [0.0, 0.0, 1.0, 1.0, 0.5, 0.5]


@pytest.mark.parametrize("ramp", [LinearRamp, CosineRamp])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0.0, 1.0, 0), "steps must be a whole number"),
        ((0.0, 1.0, 1.5), "steps must be a whole number"),
        ((math.nan, 1.0, 3), "start must be a finite number"),
        ((0.0, "1", 3), "end must be a finite number"),
    ],
)
def test_what_a_ramp_does_not_take(ramp: type, arguments: tuple[float, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ramp(*arguments)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, '"0"'),
        ({"1": 0.5}, '"0"'),
        ({"0": 1, "1.5": 2}, "texts of whole numbers, found '1.5'"),
        ({"0": 1, "-1": 2}, "texts of whole numbers"),
        ({"0": 1, "2": 3, "02": 4}, "each iteration once"),
        ({"0": math.inf}, "finite"),
        ({0: 1.0}, "texts of whole numbers, found 0"),
    ],
)
def test_what_steps_do_not_take(values: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        PiecewiseConstant(values)
