"""What a step of the user's own is called with: the batch, the models, and what the run does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from torchassistant.frames import Frame


@dataclass(frozen=True, slots=True, eq=False)
class EvalStepEvent:
    """One batch of an evaluation. Models are in eval mode, and no gradient is recorded.

    Args:
        frames: The columns of the batch by port: tensors (B, …) or lists of B values, on the
            device of the models where all of these are on one.
        models: The models of the pipeline's graph and losses, by their names in the config.
        losses: What the losses of the pipeline compute with, by display name: called with
            tensors, they give a scalar tensor. Their ``inputs`` and ``transform`` are not applied.
        batch: The place of the batch in its pass, from 0.
        device: Where the models are.
        autocast: Gives a context for forward passes in the ``precision`` of the config.
    """

    frames: Mapping[str, Frame]
    models: Mapping[str, nn.Module]
    losses: Mapping[str, Any]
    batch: int
    device: torch.device
    autocast: Callable[[], AbstractContextManager[Any]]

    @property
    def frame(self) -> Frame:
        """The columns of all ports, by name; of two of one name, that of the later port."""
        return {name: column for frame in self.frames.values() for name, column in frame.items()}


@dataclass(frozen=True, slots=True, eq=False)
class TrainStepEvent(EvalStepEvent):
    """One batch of training. Models are in the mode of the stage; gradients are as they were left.

    Args:
        optimizers: Those of the pipeline, by their names in the config.
        iteration: The number of the iteration over all stages, from 1.
        epoch: The number of the epoch over all stages, from 1.
    """

    optimizers: Mapping[str, Optimizer]
    iteration: int
    epoch: int
    _backward: Callable[[torch.Tensor, bool], None] = field(repr=False)
    _step: Callable[[Optimizer, Callable[[], Any] | None], None] = field(repr=False)

    def backward(self, loss: torch.Tensor, retain_graph: bool = False) -> None:
        """Add the gradients of a loss to those that are there; in ``fp16`` they are scaled.

        Args:
            loss: A tensor with one element, with gradient.
            retain_graph: Whether the graph is needed once more.

        Raises:
            DataError: The loss depends on nothing that has a gradient.
            Exception: It is infinite or NaN; the run, or the batch, ends then. Let it pass.
        """
        self._backward(loss, retain_graph)

    def step(self, optimizer: Optimizer, closure: Callable[[], Any] | None = None) -> None:
        """Let an optimizer step: clippers first; its scheduler afterwards, if it goes by steps.

        In ``fp16`` the gradients are divided by their scale before, and a step whose gradients are
        infinite or NaN is left out.

        Args:
            optimizer: One of ``optimizers``.
            closure: For an optimizer that demands one.

        Raises:
            DataError: It is not one of them, or cannot do its part.
            Exception: A gradient is infinite or NaN; the run, or the batch, ends then. Let it pass.
        """
        self._step(optimizer, closure)
