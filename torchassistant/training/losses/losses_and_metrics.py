"""Losses and metrics over the columns of a frame."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, NoReturn

import torch

from torchassistant.errors import DataError, UserCodeError, UserError, blaming, listing, near
from torchassistant.frames import Frame
from torchassistant.graph import Frozen, keyword_call, moved
from torchassistant.training.losses.loss_denominators import (
    Count,
    as_sum,
    counts_samples,
    is_sum,
    or_one,
    states_terms,
    terms_of,
    times,
)
from torchassistant.training.losses.metric_values import (
    WHOLE,
    MetricKeys,
    MetricValues,
    declared_keys,
    values_of,
)
from torchassistant.training.losses.named_counts import NamedCount
from torchassistant.training.losses.running_mean import RunningMean

Transform = Callable[..., Any]


class Score:
    """A function of some columns of a frame.

    Args:
        name: What it is called in messages, as ``the loss "cross_entropy"``.
        function: What is called.
        inputs: The columns that it gets, in the order of its arguments.
        transform: Turns those columns into arguments; None leaves them as they are.
        device: Where its arguments have to be; None leaves them where they are.
        keywords: The names that the columns go by to what is called first; none: they come in
            order.
    """

    def __init__(
        self,
        name: str,
        function: Any,
        inputs: Sequence[str],
        transform: Transform | None = None,
        device: torch.device | None = None,
        keywords: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.function = function
        self.inputs = tuple(inputs)
        self.transform = transform
        self.device = device
        self.keywords = tuple(keywords) if transform is None else ()
        self.transformed = transform
        if transform is not None and keywords:
            self.transformed = keyword_call(transform, keywords)
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
            values: Any = list(map(frame.__getitem__, self.inputs))
        except KeyError as error:
            column = error.args[0]
            raise DataError(
                f'{self.name} needs the column "{column}", which its frame lacks'
                + near(column, frame)
            ) from None
        if self.device is not None:
            values = [moved(value, self.device) for value in values]
        if self.transformed is None:
            return values
        try:
            values = self.transformed(*values)
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

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.terms_of: Callable[..., Count] = terms_of
        self.named_count: NamedCount | None = None
        """What says over what it is a mean, where the config names that."""
        self.report: Sequence[str] = ()
        """Keys of the dict that it gives which are shown, and not minimised."""
        self.keys: tuple[str, ...] | None = () if gives_one_number(self.function) else None
        """The keys of the dict that it gives; none where it gives one number; None: not known."""

    @cached_property
    def has_own_terms(self) -> bool:
        """Whether it is a mean over terms of its own, and not over samples.

        Asked once, as a module takes long to say that it has no method ``count``.
        """
        stated = self.named_count is not None or states_terms(self.function)
        return stated and not self.sums

    @property
    def counts_samples(self) -> bool:
        """Whether it is a mean over samples, as far as anybody says."""
        return self.named_count is None and counts_samples(self.function)

    @property
    def is_multiplied(self) -> bool:
        """Whether its sum over terms of its own is had by multiplying its mean."""
        return self.has_own_terms and self._summing is None

    @property
    def _summing(self) -> Any:
        """The same loss without the division; None where it is not known how it is had."""
        return as_sum(self.function) if self.named_count is None else None

    def count_in(self, frame: Frame, arguments: Sequence[Any], samples: int) -> Count:
        """Over how many terms the loss of a batch is a mean."""
        if self.named_count is None:
            return self.terms_of(self.function, arguments, samples)
        return self.named_count(frame, self._own(arguments), f"the count of {self.name}")

    @property
    def summed(self) -> list[str]:
        """The keys of its dict whose values are minimised."""
        return [key for key in self.keys or () if key not in self.report]

    def _own(self, arguments: Sequence[Any]) -> Sequence[Any]:
        """Of its arguments, those that come from the frame."""
        return arguments

    def freezing(self, frozen: Frozen) -> Loss:
        """The same loss, for a stage in which something is frozen; without models, itself."""
        return self

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
        return value, self.count_in(frame, arguments, samples)

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
        terms = self.count_in(frame, arguments, samples)
        summing = self._summing
        if summing is None:
            value = self._value(self.function, arguments)
            return value, times(value, terms), terms
        total = self._value(summing, arguments)
        return total / or_one(terms), total, terms

    def _value(self, function: Any, arguments: Sequence[Any], checks: bool = True) -> torch.Tensor:
        try:
            value = function(*arguments)
        except UserError:
            raise
        except Exception as error:
            raise UserCodeError(self.name) from error
        if not isinstance(value, torch.Tensor) or value.numel() != 1:
            return self.no_number(value) if checks else value
        return value

    def no_number(self, value: Any) -> NoReturn:
        """Raise, as it gave no number."""
        found = type(value).__name__
        if isinstance(value, torch.Tensor):
            found = f"a tensor of shape {tuple(value.shape)}"
        if isinstance(value, Mapping):
            found = f"a dict ({listing(list(value))}), though not when the stage began"
        raise DataError(f"{self.name} must give one number; it gave {found}")

    def given(self, arguments: Sequence[Any]) -> Any:
        """What it gives, whatever that is."""
        return self._value(self.function, arguments, checks=False)

    @property
    def sums(self) -> bool:
        """Whether its value is a sum over samples, so that the mean has to divide by them."""
        return is_sum(self.function)


class KeywordLoss(Loss):
    """A loss that is called by keyword, as its arguments cannot be given in order."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.terms_of = self._terms_by_keyword

    def _terms_by_keyword(self, function: Any, arguments: Sequence[Any], samples: int) -> Count:
        if not states_terms(function):
            return samples
        count: Count = keyword_call(function.count, self.keywords)(*arguments)
        return count

    def _value(self, function: Any, arguments: Sequence[Any], checks: bool = True) -> torch.Tensor:
        return super()._value(keyword_call(function, self.keywords), arguments, checks)


def gives_one_number(function: Any) -> bool:
    """Whether it is sure that a loss gives no dict: it is torch's or ours, or it says so."""
    home = getattr(function, "__module__", None) or type(function).__module__
    if home.split(".")[0] in ("torch", "torchassistant"):
        return True
    if not inspect.isroutine(function):
        kind = type(function)
        function = kind.forward if issubclass(kind, torch.nn.Module) else kind.__call__
    hint = getattr(inspect.unwrap(function), "__annotations__", {}).get("return")
    return hint is torch.Tensor or hint in ("Tensor", "torch.Tensor")


class Metric(Score):
    """A score with ``update``, ``compute`` and ``reset``, or a plain function of a batch.

    Args:
        name: What it is called in messages.
        function: The object, or the function.
        inputs: The columns that it gets.
        transform: Turns those columns into arguments.
        shared: Gives what the object may hold on to, and is not its own: the models.
        keywords: The names that the columns go by; none: they come in order.
    """

    def __init__(
        self,
        name: str,
        function: Any,
        inputs: Sequence[str],
        transform: Transform | None = None,
        shared: Callable[[], Sequence[Any]] = tuple,
        keywords: Sequence[str] = (),
    ) -> None:
        super().__init__(name, function, inputs, transform, keywords=keywords)
        self.shared = shared
        self.keys = MetricKeys(_sure_keys(function))
        """What it gives; those of :meth:`fresh` share it."""

    def on(self, device: torch.device | None) -> Metric:
        """The same for frames on a device; what it gives there may be something else."""
        metric: Metric = super().on(device)
        metric.keys = MetricKeys(_sure_keys(self.function))
        return metric

    def fresh(self) -> Metric:
        """A metric with a state of its own.

        Raises:
            UserCodeError: It cannot be copied, or reset.
        """
        metric = copy.copy(self)
        if hasattr(self.function, "update"):
            # A copy of a model would neither learn, nor be in the mode that the model is in.
            itself = {id(one): one for one in self.shared()}
            with blaming(self.name):
                metric.function = copy.deepcopy(self.function, itself)
                keep_to_itself(metric.function)
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
            if self.keywords:
                keyword_call(self.function.update, self.keywords)(*arguments)
            else:
                self.function.update(*arguments)

    def result(self) -> MetricValues:
        """The metric over all batches since the last reset, which this is too.

        Raises:
            DataError: It gives neither numbers nor tensors, or a number that is new.
        """
        with blaming(self.name):
            given = self.function.compute()
            self.function.reset()
            return self.keys.taken(values_of(given, self.name, self.function), self.name)


def keep_to_itself(metric: Any) -> None:
    """Let a metric of torchmetrics not add up what other processes have counted: all of them count
    everything.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        for part in metric.modules() if isinstance(metric, torch.nn.Module) else ():
            if hasattr(part, "distributed_available_fn"):
                vars(part)["distributed_available_fn"] = _never


def _never() -> bool:
    return False


class _MeanOfBatches:
    """A plain function of a batch as a metric: the mean over samples of what it gave.

    Of a dict that is one mean for each key.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.means: dict[Any, RunningMean] = {}
        self.samples = 1

    def update(self, *arguments: Any, **named: Any) -> None:
        given = self.function(*arguments, **named)
        for key, one in (given if isinstance(given, Mapping) else {WHOLE: given}).items():
            value = torch.as_tensor(one)
            if value.numel() != 1:
                found = f"a tensor of shape {tuple(value.shape)}"
                raise DataError(f"a function gives one number for a batch; this one gave {found}")
            self.means.setdefault(key, RunningMean()).add(value, self.samples)

    def compute(self) -> Any:
        means = {key: mean.value() for key, mean in self.means.items()}
        return means.get(WHOLE, math.nan) if means.keys() <= {WHOLE} else means

    def reset(self) -> None:
        self.means = {}

    def state_dict(self) -> dict[str, Any]:
        return {"means": {key: mean.state for key, mean in self.means.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.means = {key: RunningMean(state=tuple(own)) for key, own in state["means"].items()}


def _sure_keys(metric: Any) -> tuple[str, ...] | None:
    """The keys of what a metric gives, where that is known before it has met a batch."""
    if type(metric).__module__ == "torchassistant.metrics":
        return (WHOLE,)
    return declared_keys(metric)
