"""Weights of losses that change while a stage is trained.

A weight is called as ``weight(step, epoch)`` before each step of its pipeline and gives a number:
``step`` counts the iterations that the stage has made before this one, from 0, ``epoch`` the epochs
of the stage, from 1. The weights here follow from ``step`` alone and keep nothing. One of your own
that does keep something gives it as ``state_dict()`` and takes it back in
``load_state_dict(state)``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


class LinearRamp:
    """A weight that goes from one value to another in equal steps, and stays there.

    At iteration ``step`` it is ``start + (end - start) * (step / steps)``, from ``steps`` on
    ``end``.

    Args:
        start: The weight of the stage's first iteration.
        end: The weight that is reached after
        steps: this number of iterations.

    Raises:
        ValueError: ``start`` or ``end`` is not finite, or ``steps`` is less than 1.
    """

    def __init__(self, start: float, end: float, steps: int) -> None:
        _check_ramp(start, end, steps)
        self.start = start
        self.end = end
        self.steps = steps

    def __call__(self, step: int, epoch: int) -> float:
        """The weight after ``step`` iterations of the stage."""
        if step >= self.steps:
            return self.end
        return self.start + (self.end - self.start) * (step / self.steps)


class CosineRamp:
    """A weight that goes from one value to another along half a wave, and stays there.

    At iteration ``step`` it is ``start + (end - start) * (1 - cos(π * step / steps)) / 2``, from
    ``steps`` on ``end``: it leaves ``start`` and reaches ``end`` slowly.

    Args:
        start: The weight of the stage's first iteration.
        end: The weight that is reached after
        steps: this number of iterations.

    Raises:
        ValueError: ``start`` or ``end`` is not finite, or ``steps`` is less than 1.
    """

    def __init__(self, start: float, end: float, steps: int) -> None:
        _check_ramp(start, end, steps)
        self.start = start
        self.end = end
        self.steps = steps

    def __call__(self, step: int, epoch: int) -> float:
        """The weight after ``step`` iterations of the stage."""
        if step >= self.steps:
            return self.end
        share = (1 - math.cos(math.pi * step / self.steps)) / 2
        return self.start + (self.end - self.start) * share


class PiecewiseConstant:
    """A weight that jumps from value to value.

    Args:
        values: The weight from an iteration of the stage on, by the number of that iteration as a
            text of digits (``{"0": 0.0, "1000": 0.5}``); ``"0"`` is among them.

    Raises:
        ValueError: A key is no such text, two of them are one number, ``"0"`` is missing, or a
            value is not a finite number.
    """

    def __init__(self, values: Mapping[str, float]) -> None:
        steps = {key: _step_of(key) for key in values}
        if 0 not in steps.values():
            raise ValueError(f'values must say what holds from "0" on, found {sorted(values)}')
        if len(set(steps.values())) < len(steps):
            raise ValueError(f"values must name each iteration once, found {sorted(values)}")
        for key, value in values.items():
            _expect_finite(f'the value at "{key}"', value)
        self.values = {steps[key]: values[key] for key in sorted(steps, key=steps.__getitem__)}

    def __call__(self, step: int, epoch: int) -> float:
        """The weight after ``step`` iterations of the stage."""
        return self.values[max(start for start in self.values if start <= step)]


def _step_of(key: Any) -> int:
    if not (isinstance(key, str) and key.isascii() and key.isdigit()):
        raise ValueError(f"the keys of values must be texts of whole numbers, found {key!r}")
    return int(key)


def _check_ramp(start: float, end: float, steps: Any) -> None:
    _expect_finite("start", start)
    _expect_finite("end", end)
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps must be a whole number of at least 1, found {steps!r}")


def _expect_finite(what: str, value: Any) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):
        raise ValueError(f"{what} must be a finite number, found {value!r}")
