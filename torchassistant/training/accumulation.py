"""Gradients over several batches, as if these had been one.

Each loss is taken as a sum over its terms (samples, elements, targets that are not ignored), and
the sum of the gradients is divided by the number of all terms in the end: so it is right for
batches of unequal sizes, and for losses that count unequally. Losses that count different things
have to be kept apart until then, each with a backward pass of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from torchassistant.errors import DataError
from torchassistant.parallel import Summands
from torchassistant.training.flat_gradients import FlatGradients
from torchassistant.training.losses.loss_denominators import Count, or_one

Backward = Callable[[Tensor, bool], None]
"""Runs a backward pass; the second argument is whether there will be another one."""


class Summand(NamedTuple):
    """What some losses add for one batch.

    Args:
        counted: What is counted: summands of the same kind share a division.
        total: The sum over the terms, a scalar tensor.
        terms: How many terms there are; None where nothing is to be divided.
        of_mean: Whether the total was made from a mean over terms of its own, so that its gradient
            may be NaN where there are none.
    """

    counted: Hashable
    total: Tensor
    terms: Count | None
    of_mean: bool = False


class _Sum:
    """The gradients of one kind of summands so far, for each parameter or None."""

    def __init__(self, terms: Count | None, parameters: Sequence[Tensor]) -> None:
        # Divided at once by what the first batch counts, numbers keep the size of a mean: small
        # formats overflow.
        self.unit = None if terms is None else or_one(terms)
        self.terms: Count | None = None
        self.parameters = parameters
        self.gradients: list[Tensor | None] = [None] * len(parameters)

    def scaled(self, summand: Summand) -> Tensor:
        if self.unit is None or summand.terms is None:
            return summand.total
        self.terms = summand.terms if self.terms is None else self.terms + summand.terms
        return summand.total / self.unit

    def take(self, summand: Summand) -> None:
        """Move the gradients of the parameters here."""
        for index, parameter in enumerate(self.parameters):
            gradient, parameter.grad = parameter.grad, None
            if gradient is not None:
                if summand.of_mean and summand.terms is not None:
                    gradient = _where_any(gradient, summand.terms)
                sum_ = self.gradients[index]
                self.gradients[index] = gradient if sum_ is None else sum_ + gradient

    def whole(self, flat: FlatGradients) -> Summands:
        """The gradients of the sum over terms, in flat tensors.

        Raises:
            DataError: A gradient is sparse.
        """
        flats = flat.joined(self.gradients)
        if self.unit is None:
            return flats
        return [one.mul_(_on(self.unit, one.device)) for one in flats]

    def give(self) -> None:
        """Add the means to the gradients of the parameters."""
        share = None
        if self.unit is not None and self.terms is not None:
            share = self.unit / or_one(self.terms)
        for parameter, sum_ in zip(self.parameters, self.gradients, strict=True):
            if sum_ is None:
                continue
            mean = sum_ if share is None else sum_ * _on(share, sum_.device)
            parameter.grad = mean if parameter.grad is None else parameter.grad + mean


class Accumulation:
    """The gradients of one step over several batches.

    Args:
        parameters: Whose gradients.
        backward: Runs a backward pass.
    """

    def __init__(self, parameters: Sequence[Tensor], backward: Backward) -> None:
        self.parameters = parameters
        self.backward = backward
        self.sums: dict[Hashable, _Sum] = {}
        self.apart: set[int] = set()

    def add(self, summands: Sequence[Summand]) -> dict[Hashable, Summand]:
        """The backward passes of one batch.

        Args:
            summands: One for each loss, always in the same order.

        Returns:
            One for each kind, in their order.

        Raises:
            DataError: Losses that counted alike so far do so no more.
        """
        joined = self._join(summands)
        left = len(joined)
        for counted, summand in joined.items():
            left -= 1
            sum_ = self.sums.get(counted)
            if sum_ is None:
                sum_ = self.sums[counted] = _Sum(summand.terms, self.parameters)
            self.backward(sum_.scaled(summand), left > 0)
            sum_.take(summand)
        return joined

    def finish(self) -> None:
        """Leave the gradients of the step with the parameters."""
        for sum_ in self.sums.values():
            sum_.give()

    def _join(self, summands: Sequence[Summand]) -> dict[Hashable, Summand]:
        """Summands that count alike as one, so that one backward pass does for them."""
        joined: dict[Hashable, Summand] = {}
        for index, summand in enumerate(summands):
            counted = (summand.counted, index) if index in self.apart else summand.counted
            other = joined.get(counted)
            if other is None:
                joined[counted] = summand
            elif other.terms is summand.terms or other.terms == summand.terms:
                joined[counted] = Summand(counted, other.total + summand.total, summand.terms)
            elif not self.sums:
                self.apart.add(index)
                joined[summand.counted, index] = summand
            else:
                raise DataError(
                    "gradients cannot be accumulated over batches in which two losses are over "
                    f"equal numbers of samples here, and over {other.terms} and {summand.terms} "
                    "there"
                )
        return joined


def _where_any(gradient: Tensor, terms: Count) -> Tensor:
    """A gradient over some terms; 0 where there are none."""
    if isinstance(terms, torch.Tensor) and not gradient.is_sparse:
        return gradient.where(terms.to(gradient.device) != 0, 0.0)
    return gradient if terms else torch.zeros_like(gradient)


def _on(value: float | Tensor, device: torch.device) -> float | Tensor:
    return value.to(device) if isinstance(value, torch.Tensor) else value
