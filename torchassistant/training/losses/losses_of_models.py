"""Losses that are called with models: gradient penalties, perceptual losses, and their like."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from torchassistant.frames import Frame
from torchassistant.graph import Call, Calling, Frozen, sparing_call
from torchassistant.training.losses.loss_denominators import Count, states_terms
from torchassistant.training.losses.losses_and_metrics import Loss


class LossOfModels(Loss):
    """A loss that gets models before what is made of its inputs.

    Args:
        loss: The same loss without them.
        models: What it is called with first, and how each is run.
        trained: Says of a model whether its buffers may change.
    """

    def __init__(
        self,
        loss: Loss,
        models: Sequence[tuple[nn.Module, Calling]],
        trained: Callable[[nn.Module], bool],
    ) -> None:
        vars(self).update(vars(loss))
        self.models = [model for model, _ in models]
        call: Call = self.function
        if self.keywords:
            call = self._by_keyword(call)
            self.terms_of = self._terms_by_keyword
        for model, calling in models:
            call = calling.guarded(model, call, trained(model))
        if needs_gradient(self.function):
            call = _with_gradient(call, self.models)
        self.call = call

    def _by_keyword(self, call: Call) -> Call:
        """A call with the models in order, and all else by keyword."""
        first, keywords = len(self.models), self.keywords

        def called(*args: Any) -> Any:
            return call(*args[:first], **dict(zip(keywords, args[first:], strict=True)))

        return called

    def _terms_by_keyword(self, function: Any, arguments: Sequence[Any], samples: int) -> Count:
        if not states_terms(function):
            return samples
        count: Count = self._by_keyword(function.count)(*arguments)
        return count

    def freezing(self, frozen: Frozen) -> Loss:
        loss = copy.copy(self)
        for model in self.models:
            loss.call = sparing_call(frozen.buffers_in(model), loss.call)
        return loss

    def arguments(self, frame: Frame) -> Sequence[Any]:
        return [*self.models, *super().arguments(frame)]

    def _own(self, arguments: Sequence[Any]) -> Sequence[Any]:
        return arguments[len(self.models) :]

    def _value(self, function: Any, arguments: Sequence[Any], checks: bool = True) -> torch.Tensor:
        # What sums in place of a mean is torch's own, and takes no models.
        return super()._value(self.call, arguments, checks)


def needs_gradient(function: Any) -> bool:
    """Whether a loss differentiates by itself, so that it needs gradients in evaluation too."""
    return getattr(function, "needs_grad", False) is True


def _with_gradient(call: Call, models: Sequence[nn.Module]) -> Call:
    """A call that may differentiate, where nothing else does; gradients of parameters stay.

    Args:
        call: Gives a tensor.
        models: Those that it differentiates.
    """

    def differentiating(*args: Any) -> Any:
        if torch.is_grad_enabled():
            return call(*args)
        kept = [(p, p.grad) for model in models for p in model.parameters()]
        for parameter, _ in kept:
            parameter.grad = None
        try:
            with torch.enable_grad():
                value = call(*args)
        finally:
            for parameter, gradient in kept:
                parameter.grad = gradient
        if isinstance(value, Mapping):
            return {key: _detached(one) for key, one in value.items()}
        return _detached(value)

    return differentiating


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, torch.Tensor) else value
