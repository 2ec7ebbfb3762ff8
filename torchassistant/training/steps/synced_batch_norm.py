"""Batch norm over the parts of all processes, as over the whole batch; on any device."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from torchassistant.errors import DataError
from torchassistant.graph import distinct
from torchassistant.parallel import Processes

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class SyncedBatchNorms:
    """Within it, layers that are in train mode take the statistics of all processes.

    All run them at the same time, in the same order.

    Args:
        processes: They.

    Attributes:
        counts: Whether the own rows count; not those that stand in for none.
    """

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        self.counts = True
        self.layers: list[nn.Module] = []

    def look_at(self, modules: Iterable[nn.Module]) -> None:
        """Find the layers in modules; a class with a ``forward`` of its own keeps that."""
        found = distinct(layer for module in modules for layer in module.modules())
        ours = (layer for layer in found if isinstance(layer, _NORMS))
        self.layers = [one for one in ours if any(type(one).forward is f for f in _FORWARDS)]

    def __enter__(self) -> None:
        for layer in self.layers:
            layer.forward = partial(self._run, layer)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for layer in self.layers:
            del layer.forward

    def _run(self, layer: Any, x: Tensor) -> Tensor:
        if not layer.training:
            return type(layer).forward(layer, x)
        rows = x if x.dtype is torch.float64 else x.float()
        axes = [axis for axis in range(x.ndim) if axis != 1]
        count = x.numel() // x.shape[1] if self.counts else 0
        mean = rows.mean(axes)
        squares = (rows - _along(mean, x)).square().sum(axes) * (count > 0)
        told = torch.cat([rows.new_full((1,), count), mean, squares])
        counts, means, own = _Gathered.apply(told, self.processes).split(
            [1, len(mean), len(mean)], dim=1
        )
        total = counts.sum()
        if total <= 1:
            raise DataError("batch norm needs more than one value per channel in a batch")
        mean = (counts * means).sum(0) / total
        squares = own.sum(0) + (counts * (means - mean).square()).sum(0)
        _note(layer, mean.detach(), squares.detach() / (total - 1))
        result = (rows - _along(mean, x)) * _along((squares / total + layer.eps).rsqrt(), x)
        if layer.weight is not None:
            result = result * _along(layer.weight, x) + _along(layer.bias, x)
        return result.to(x.dtype)


_FORWARDS = [kind.forward for kind in _NORMS]


def _note(layer: Any, mean: Tensor, variance: Tensor) -> None:
    """Let running statistics follow, as torch has it."""
    if layer.running_mean is None:
        return
    share = layer.momentum
    if layer.num_batches_tracked is not None:
        layer.num_batches_tracked.add_(1)
        if share is None:
            share = 1 / float(layer.num_batches_tracked)
    for running, now in ((layer.running_mean, mean), (layer.running_var, variance)):
        running.mul_(1 - share).add_(now.to(running.dtype), alpha=share)


def _along(channels: Tensor, x: Tensor) -> Tensor:
    """Values of channels (C,) along the second axis of a tensor (N, C, …)."""
    return channels.view(1, -1, *(1 for _ in x.shape[2:]))


class _Gathered(torch.autograd.Function):
    """The rows of all processes: (K,) of each to (size, K) in each."""

    @staticmethod
    def forward(ctx: Any, row: Tensor, processes: Processes) -> Tensor:
        ctx.processes = processes
        return processes.gather(row)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        processes = ctx.processes
        return processes.gather(gradient).sum(0)[processes.rank], None
