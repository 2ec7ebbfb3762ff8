"""Losses that are called with models, for ``test_losses_of_models``."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss


def through(model: nn.Module, h: Tensor, y: Tensor) -> Tensor:
    """How well a model that no node runs says y."""
    return mse_loss(model(h), y)


def by_keyword(model: nn.Module, *, h: Tensor, y: Tensor) -> Tensor:
    """The same."""
    return mse_loss(model(h), y)


def perceptual(model: nn.Module, said: Tensor, y: Tensor) -> Tensor:
    """How far features are apart."""
    return mse_loss(model(said), model(y).detach())


class Sobolev:
    """The squared slope of a model at x, by a whole backward pass."""

    needs_grad: ClassVar[bool] = True

    def __call__(self, model: nn.Module, x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        if self.keeps_graph():
            (slope,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        else:
            model(x).sum().backward()
            assert x.grad is not None
            slope = x.grad
        return slope.square().mean()

    def keeps_graph(self) -> bool:
        """Whether it is differentiated itself."""
        return True


class Measured(Sobolev):
    """The same, for evaluation only."""

    def keeps_graph(self) -> bool:
        return False


class Counted(nn.Module):
    """A loss of a model with a number of terms of its own."""

    def forward(self, model: nn.Module, h: Tensor, y: Tensor) -> Tensor:
        return mse_loss(model(h)[y > 0], y[y > 0])

    def count(self, model: nn.Module, h: Tensor, y: Tensor) -> Tensor:
        """How many of the targets are positive."""
        assert isinstance(model, nn.Module)
        return (y > 0).sum()


def labels(said: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Targets as class numbers, all of one class."""
    return said, torch.zeros(len(y), dtype=torch.int64)
