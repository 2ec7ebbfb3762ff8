"""What a metric gives over a pass: numbers, which become columns, and tensors, which are stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from torchassistant.errors import DataError, listing

Data = torch.Tensor | list[Any]
"""A tensor on the CPU, or a list of them, of lists of them, …: a curve is a list of tensors."""

WHOLE = ""
"""The key of what a metric gives that gives no dict."""


@dataclass(slots=True)
class MetricValues:
    """What a metric gives, by its keys; :data:`WHOLE` is that of what is in no dict.

    Args:
        numbers: What becomes a column.
        data: What is stored beside the history.
    """

    numbers: dict[str, float] = field(default_factory=dict)
    data: dict[str, Data] = field(default_factory=dict)


@dataclass(slots=True)
class Results:
    """What an evaluation gives, by display name.

    Args:
        numbers: Losses, and the numbers of metrics.
        data: What metrics give as tensors.
    """

    numbers: dict[str, float] = field(default_factory=dict)
    data: dict[str, Data] = field(default_factory=dict)

    def add(self, shown_as: str, values: MetricValues) -> None:
        """Add what a metric gives."""
        self.numbers |= {shown(shown_as, key): one for key, one in values.numbers.items()}
        self.data |= {shown(shown_as, key): one for key, one in values.data.items()}


def shown(shown_as: str, key: str) -> str:
    """The display name of a value of a metric: its own, or ``NAME/KEY``."""
    return shown_as if key == WHOLE else f"{shown_as}/{key}"


def values_of(given: Any, name: str, metric: Any) -> MetricValues:
    """What a metric gave, sorted into numbers and data.

    Args:
        given: What its ``compute`` returned.
        name: What the metric is called in messages.
        metric: The object; says how many classes there are, where it knows that.

    Raises:
        DataError: It gave neither numbers, nor tensors, nor a dict of those.
    """
    values = MetricValues()
    if not isinstance(given, Mapping):
        _sort(given, WHOLE, metric, values, name)
        return values
    inner = metrics_by_key(metric)
    for key, one in _named_by_label(given, metric).items():
        if not isinstance(key, str) or not key.isprintable() or key == WHOLE:
            raise DataError(f"the keys of {name} must be texts; found {key!r}")
        _sort(one, key, inner.get(key, metric), values, name)
    return values


def _sort(given: Any, key: str, metric: Any, values: MetricValues, name: str) -> None:
    number = None if _is_by_class(key, metric) else _number(given)
    if number is not None:
        values.numbers[key] = number
        return
    data = _data(given)
    if data is None:
        what = name if key == WHOLE else f'"{key}" of {name}'
        found = type(given).__name__
        raise DataError(f"{what} must be a number or a tensor for the history; it is a {found}")
    if isinstance(data, torch.Tensor) and data.ndim == 1 and len(data) == _classes_of(metric):
        head = "" if key == WHOLE else f"{key}/"
        values.numbers |= {f"{head}{index}": one for index, one in enumerate(data.tolist())}
        return
    values.data[key] = data


def _number(given: Any) -> float | None:
    """A number as a float; None for what is none."""
    if isinstance(given, torch.Tensor | np.ndarray | np.generic):
        is_one = (given.numel() if isinstance(given, torch.Tensor) else given.size) == 1
        value = given.item() if is_one else None
        return float(value) if isinstance(value, (bool, int, float)) else None
    return float(given) if isinstance(given, (int, float)) else None


def _data(given: Any) -> Data | None:
    """What can be stored of tensors, on the CPU; None for what holds anything else."""
    if isinstance(given, np.ndarray | np.generic) and given.dtype.kind in "biuf":
        given = torch.from_numpy(np.array(given))
    if isinstance(given, torch.Tensor):
        is_plain = given.layout is torch.strided and not given.is_nested and not given.is_quantized
        return given.detach().cpu().clone() if is_plain and not given.is_complex() else None
    if not isinstance(given, (tuple, list)) or not given:
        return None
    parts = [_data(torch.as_tensor(p) if isinstance(p, (int, float)) else p) for p in given]
    return None if any(part is None for part in parts) else parts


def _classes_of(metric: Any) -> int | None:
    """Of how many classes a metric gives a value each, where it says that."""
    for name in ("num_classes", "num_labels", "num_outputs"):
        count = getattr(metric, name, None)
        if type(count) is int and count > 1:
            return count
    return None


def _is_by_class(key: str, metric: Any) -> bool:
    """Whether a value has one element for each class that was met, as mean average precision has.

    It is a tensor then, however many there were.
    """
    has_list = getattr(metric, "class_metrics", None) is True
    return has_list and (key == "classes" or key.endswith("_per_class"))


def metrics_by_key(metric: Any) -> Mapping[str, Any]:
    """The metrics of a collection of torchmetrics, by the keys that they give."""
    if not is_of_torchmetrics(metric, "MetricCollection"):
        return {}
    return dict(metric.items(keep_base=False, copy_state=False))


def _named_by_label(given: Mapping[Any, Any], metric: Any) -> Mapping[Any, Any]:
    """What ``ClasswiseWrapper`` gives by its labels alone: it puts the metric's class before."""
    if not is_of_torchmetrics(metric, "ClasswiseWrapper"):
        return given
    head = f"{type(metric.metric).__name__.lower()}_"
    if not all(isinstance(key, str) and key.startswith(head) for key in given):
        return given
    return {key.removeprefix(head): value for key, value in given.items()}


def is_of_torchmetrics(metric: Any, name: str) -> bool:
    """Whether a metric is of a class of torchmetrics, which is imported only where it is used."""
    return any(
        kind.__name__ == name and kind.__module__.startswith("torchmetrics.")
        for kind in type(metric).__mro__
    )


class MetricKeys:
    """Which numbers a metric gives: known before the history of a stage begins.

    Args:
        numbers: The keys of its numbers; None: not known yet.

    Attributes:
        data: The keys of what it gives as tensors, as far as it was met.
    """

    def __init__(self, numbers: Iterable[str] | None) -> None:
        self.numbers = None if numbers is None else tuple(numbers)
        self.data: tuple[str, ...] = ()

    def taken(self, values: MetricValues, name: str) -> MetricValues:
        """The values as they were first: a number for a tensor is stored as one.

        Args:
            values: What the metric gave; the first of them are what all have to be like.
            name: What the metric is called in messages.

        Raises:
            DataError: It gives a number under a new key, or a tensor in place of a number.
        """
        for key in [key for key in values.numbers if key in self.data]:
            values.data[key] = torch.tensor(values.numbers.pop(key))
        if self.numbers is None:
            if not (values.numbers or values.data):
                raise DataError(f'{name} gave a dict without a value; "columns" may name its keys')
            self.numbers = tuple(values.numbers)
        for key in self.numbers:
            if key in values.data:
                what = name if key == WHOLE else f'"{key}" of {name}'
                raise DataError(f"{what} is a column of the history, and is a tensor now")
        new = [key for key in values.numbers if key not in self.numbers]
        if new:
            hint = '; "columns" of its class may name all keys'
            hint = "" if new == [WHOLE] else hint
            before, now = _listed(self.numbers), _listed(new)
            raise DataError(f"{name} gave {before} when the stage began, and gives {now} now{hint}")
        self.data = tuple(dict.fromkeys([*self.data, *values.data]))
        return values


def _listed(keys: Sequence[str]) -> str:
    if list(keys) == [WHOLE]:
        return "one number"
    return listing(keys) or "no number"


def declared_keys(metric: Any) -> tuple[str, ...] | None:
    """The keys that a metric says that it gives, as its ``columns``; None where it says nothing.

    Raises:
        DataError: They are not names.
    """
    columns = getattr(metric, "columns", None)
    if columns is None or isinstance(metric, type):
        return None
    is_list = isinstance(columns, (tuple, list))
    if not is_list or not all(isinstance(k, str) and k and k.isprintable() for k in columns):
        raise DataError(f'its "columns" must be a list of texts; found {columns!r}')
    return tuple(dict.fromkeys(columns))
