"""Losses and metrics over the columns of a frame, and their means over an epoch."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from torchassistant.errors import DataError, UserCodeError, UserError, blaming, near
from torchassistant.graph import Frame, rows_of
from torchassistant.graph.processor import moved
from torchassistant.training.terms import Count, as_sum, is_sum, or_one, terms_of

Transform = Callable[..., Any]

_JOIN_AT = 512


class Score:
    """A function of some columns of a frame.

    Args:
        name: What it is called in messages, as ``the loss "cross_entropy"``.
        function: What is called.
        inputs: The columns that it gets, in the order of its arguments.
        transform: Turns those columns into arguments; None leaves them as they are.
        device: Where its arguments have to be; None leaves them where they are.
    """

    def __init__(
        self,
        name: str,
        function: Any,
        inputs: Sequence[str],
        transform: Transform | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.name = name
        self.function = function
        self.inputs = tuple(inputs)
        self.transform = transform
        self.device = device
        self._placed: torch.device | None = None

    def on(self, device: torch.device | None) -> Any:
        """The same score for frames on a device; None is for frames that need not be moved."""
        score = copy.copy(self)
        score.device = device
        if device is not None and hasattr(self.function, "to"):
            # Pipelines on one device share its state; another device needs a function of its own.
            taken = self._placed not in (None, device)
            function = copy.deepcopy(self.function) if taken else self.function
            self._placed = self._placed or device
            score.function = function.to(device)
        return score

    def arguments(self, frame: Frame) -> Sequence[Any]:
        """What the function is called with."""
        try:
            values: Any = [frame[column] for column in self.inputs]
        except KeyError as error:
            column = error.args[0]
            raise DataError(
                f'{self.name} needs the column "{column}", which its frame lacks'
                + near(column, frame)
            ) from None
        if self.device is not None:
            values = [moved(value, self.device) for value in values]
        if self.transform is None:
            return values
        try:
            values = self.transform(*values)
        except UserError:
            raise
        except Exception as error:
            raise UserCodeError(f"the transform of {self.name}") from error
        if not isinstance(values, (tuple, list)):
            values = (values,)
        if self.device is not None:
            values = [moved(value, self.device) for value in values]
        return values

    def rows(self, frame: Frame) -> int:
        """The number of samples that the score is over."""
        return rows_of(frame, self.inputs)


class Loss(Score):
    """A score that gives a scalar tensor. One that sums over its samples says so."""

    def __call__(self, frame: Frame) -> torch.Tensor:
        """The loss of one batch."""
        return self._value(self.function, self.arguments(frame))

    def over_terms(self, frame: Frame) -> tuple[torch.Tensor, torch.Tensor, Count | None]:
        """The loss of one batch, its sum over terms, and how many these are.

        A loss that is a sum already is its own, and nothing is counted.
        """
        arguments = self.arguments(frame)
        if self.sums:
            value = self._value(self.function, arguments)
            return value, value, None
        terms = terms_of(self.function, arguments, self.rows(frame))
        summing = as_sum(self.function)
        if summing is None:
            value = self._value(self.function, arguments)
            return value, value * terms, terms
        total = self._value(summing, arguments)
        return total / or_one(terms), total, terms

    def _value(self, function: Any, arguments: Sequence[Any]) -> torch.Tensor:
        try:
            value = function(*arguments)
        except UserError:
            raise
        except Exception as error:
            raise UserCodeError(self.name) from error
        if not isinstance(value, torch.Tensor) or value.numel() != 1:
            found = (
                f"a tensor of shape {tuple(value.shape)}"
                if isinstance(value, torch.Tensor)
                else type(value).__name__
            )
            raise DataError(f"{self.name} must give one number; it gave {found}")
        return value

    @property
    def sums(self) -> bool:
        """Whether its value is a sum over samples, so that the mean has to divide by them."""
        return is_sum(self.function)


def stretched_in(run: Callable[[], None]) -> DataError | None:
    """Run something, and see whether a loss of torch has stretched one of its inputs in it.

    Returns:
        What torch says of that, for who knows whether it is meant; None where nothing was.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run()
    stretched = None
    for warning in caught:
        if "target size" in str(warning.message):
            stretched = DataError(str(warning.message))
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    return stretched


def tell_stretched(stretched: DataError, explained: Exception) -> None:
    """Raise what explains that an input was stretched; where nothing does, warn as torch does."""
    if explained is not stretched:
        raise explained
    warnings.warn(str(stretched), stacklevel=3)


class Metric(Score):
    """A score with ``update``, ``compute`` and ``reset``, or a plain function of a batch."""

    def fresh(self) -> Metric:
        """A metric with a state of its own."""
        metric = copy.copy(self)
        if hasattr(self.function, "update"):
            metric.function = copy.deepcopy(self.function)
            metric.function.reset()
        else:
            metric.function = _MeanOfBatches(self.function)
        return metric

    def update(self, frame: Frame) -> None:
        """Take a batch into the state."""
        arguments = self.arguments(frame)
        with blaming(self.name):
            if isinstance(self.function, _MeanOfBatches):
                self.function.rows = self.rows(frame)
            self.function.update(*arguments)

    def result(self) -> float:
        """The metric over all batches since the last reset, which this is too."""
        with blaming(self.name):
            value = self.function.compute()
            self.function.reset()
        return as_number(value, self.name)


class _MeanOfBatches:
    """A plain function of a batch as a metric: the mean over samples of what it gave."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.mean = RunningMean()
        self.rows = 1

    def update(self, *arguments: Any) -> None:
        self.mean.add(torch.as_tensor(self.function(*arguments)), self.rows)

    def compute(self) -> float:
        return self.mean.value()

    def reset(self) -> None:
        self.mean = RunningMean()


def as_number(value: Any, name: str) -> float:
    """A result as a float.

    Raises:
        DataError: It is not one number.
    """
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return float(value.item())
    if isinstance(value, (int, float)):
        return float(value)
    found = (
        f"a tensor of shape {tuple(value.shape)}"
        if isinstance(value, torch.Tensor)
        else type(value).__name__
    )
    raise DataError(f"{name} must give one number for the history; it gave {found}")


class RunningMean:
    """A mean over samples of values that stay on their device until somebody asks.

    Args:
        sums: Whether each value is a sum over its samples already.
        state: Where to go on from.
    """

    def __init__(self, sums: bool = False, state: tuple[float, int] = (0.0, 0)) -> None:
        self.sums = sums
        self.total, self.samples = state
        self.values: list[torch.Tensor] = []
        self.joined: list[torch.Tensor] = []
        self.rows: list[int] = []
        self.latest: torch.Tensor | None = None

    @property
    def state(self) -> tuple[float, int]:
        """The sum over samples, and the number of samples."""
        self.fold()
        return self.total, self.samples

    def add(self, value: torch.Tensor, rows: int) -> None:
        """Take the value of a batch, without its graph; costs no transfer from the device."""
        self.latest = value
        self.values.append(value)
        self.rows.append(rows)
        if len(self.values) >= _JOIN_AT:
            self._join()

    def _join(self) -> None:
        """Many small tensors become one, on their device: nobody waits for it."""
        if self.values:
            self.joined.append(torch.stack([value.reshape(()) for value in self.values]))
            self.values.clear()

    def fold(self) -> None:
        """Fetch the values that wait on the device."""
        self._join()
        rows = iter(self.rows)
        for value in (value for joined in self.joined for value in joined.tolist()):
            count = next(rows)
            self.total += value if self.sums else value * count
            self.samples += count
        self.joined.clear()
        self.rows.clear()

    def value(self) -> float:
        """The mean so far; NaN where there was nothing."""
        self.fold()
        return self.total / self.samples if self.samples else float("nan")


def set_training(modules: Sequence[nn.Module]) -> None:
    """Train mode for every module."""
    for module in modules:
        module.train()
