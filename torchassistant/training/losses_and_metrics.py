"""Losses and metrics over the columns of a frame, and their means over an epoch."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch

from torchassistant.errors import DataError, UserCodeError, UserError, blaming, near
from torchassistant.frames import Frame
from torchassistant.graph.processor import moved
from torchassistant.training.loss_denominators import (
    Count,
    as_sum,
    is_sum,
    or_one,
    states_terms,
    terms_of,
    times,
)

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


class Loss(Score):
    """A score that gives a scalar tensor. One that sums over its samples says so."""

    @cached_property
    def has_own_terms(self) -> bool:
        """Whether it is a mean over terms of its own, and not over samples.

        Asked once, as a module takes long to say that it has no method ``count``.
        """
        return states_terms(self.function) and not self.sums

    def __call__(self, frame: Frame, samples: int) -> tuple[torch.Tensor, Count]:
        """The loss of one batch, and how much that counts in a mean over several.

        Args:
            frame: The batch.
            samples: The number of examples in it.
        """
        arguments = self.arguments(frame)
        value = self._value(self.function, arguments)
        if not self.has_own_terms:
            return value, samples
        return value, terms_of(self.function, arguments, samples)

    def over_terms(
        self, frame: Frame, samples: int
    ) -> tuple[torch.Tensor, torch.Tensor, Count | None]:
        """The loss of one batch, its sum over terms, and how many these are.

        A loss that is a sum already is its own, and nothing is counted.

        Args:
            frame: The batch.
            samples: The number of examples in it.
        """
        arguments = self.arguments(frame)
        if self.sums:
            value = self._value(self.function, arguments)
            return value, value, None
        terms = terms_of(self.function, arguments, samples)
        summing = as_sum(self.function)
        if summing is None:
            value = self._value(self.function, arguments)
            return value, times(value, terms), terms
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
    """A score with ``update``, ``compute`` and ``reset``, or a plain function of a batch.

    Args:
        name: What it is called in messages.
        function: The object, or the function.
        inputs: The columns that it gets.
        transform: Turns those columns into arguments.
        shared: Gives what the object may hold on to, and is not its own: the models.
    """

    def __init__(
        self,
        name: str,
        function: Any,
        inputs: Sequence[str],
        transform: Transform | None = None,
        shared: Callable[[], Sequence[Any]] = tuple,
    ) -> None:
        super().__init__(name, function, inputs, transform)
        self.shared = shared

    def fresh(self) -> Metric:
        """A metric with a state of its own."""
        metric = copy.copy(self)
        if hasattr(self.function, "update"):
            # A copy of a model would neither learn, nor be in the mode that the model is in.
            itself = {id(one): one for one in self.shared()}
            metric.function = copy.deepcopy(self.function, itself)
            metric.function.reset()
        else:
            metric.function = _MeanOfBatches(self.function)
        return metric

    def update(self, frame: Frame, samples: int) -> None:
        """Take a batch into the state.

        Args:
            frame: The batch.
            samples: The number of examples in it.
        """
        arguments = self.arguments(frame)
        with blaming(self.name):
            if isinstance(self.function, _MeanOfBatches):
                self.function.samples = samples
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
        self.samples = 1

    def update(self, *arguments: Any) -> None:
        self.mean.add(torch.as_tensor(self.function(*arguments)), self.samples)

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
    """A mean of values, each with the number of terms that it is a mean over.

    A value on the host is added at once: were it kept, it would hold on to the memory around it.
    One on a GPU stays there until somebody asks.

    Args:
        sums: Whether each value is a sum over its terms already.
        state: Where to go on from.
    """

    def __init__(self, sums: bool = False, state: tuple[float, float] = (0.0, 0)) -> None:
        self.sums = sums
        self.total, self.terms = state
        self.latest: float | torch.Tensor | None = None
        self.waiting: list[tuple[torch.Tensor, Count]] = []
        self.joined: list[tuple[torch.Tensor, torch.Tensor | list[int]]] = []

    @property
    def state(self) -> tuple[float, float]:
        """The sum over terms, and the number of terms."""
        self.fold()
        return self.total, self.terms

    def add(self, value: torch.Tensor, terms: Count) -> None:
        """Take the value of a batch, without its graph; costs no transfer from a GPU.

        Args:
            value: One number.
            terms: What it is a mean over; 0 adds nothing, whatever the value.
        """
        if value.is_cpu:
            self.latest = value.item()
            self._add(self.latest, terms.item() if isinstance(terms, torch.Tensor) else terms)
            return
        self.latest = value
        self.waiting.append((value, terms))
        if len(self.waiting) >= _JOIN_AT:
            self._join()

    def _add(self, value: float, terms: float) -> None:
        if terms:
            self.total += value if self.sums else value * terms
            self.terms += terms

    def _join(self) -> None:
        """Many small tensors become one, on their device: nobody waits for it."""
        if not self.waiting:
            return
        values = torch.stack([value.reshape(()) for value, _ in self.waiting])
        numbers = [terms for _, terms in self.waiting if isinstance(terms, int)]
        if len(numbers) == len(self.waiting):
            self.joined.append((values, numbers))
        else:
            counts = [torch.as_tensor(c, device=v.device).reshape(()) for v, c in self.waiting]
            self.joined.append((values, torch.stack(counts)))
        self.waiting.clear()

    def fold(self) -> None:
        """Fetch the values that wait on the device."""
        self._join()
        for values, counts in self.joined:
            numbers = counts.tolist() if isinstance(counts, torch.Tensor) else counts
            for value, terms in zip(values.tolist(), numbers, strict=True):
                self._add(value, terms)
        self.joined.clear()

    def value(self) -> float:
        """The mean so far; NaN where there was nothing."""
        self.fold()
        return self.total / self.terms if self.terms else float("nan")
