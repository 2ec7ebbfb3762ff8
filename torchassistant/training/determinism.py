"""What makes two runs on a GPU alike, to the bit, beyond seeds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


def use_deterministic_kernels(device: torch.device) -> None:
    """Let torch use only kernels that give the same bits each time, on a GPU; for the process.

    What has no such kernel raises ``RuntimeError`` where it is called, with its name. On the CPU
    torch's kernels give the same bits anyway, and nothing is changed.
    """
    if device.type != "cuda":
        return
    # Read by cuBLAS when it is first used: a workspace of a fixed size for each stream.
    os.environ.setdefault(_WORKSPACE, ":4096:8")
    torch.use_deterministic_algorithms(True)


def draw_dropout_from_torch(models: Iterable[nn.Module]) -> None:
    """Let recurrent layers on a GPU draw their dropout from torch's generator, which is stored.

    They are computed without cuDNN, and so take longer. See :func:`with_hidden_draws`.
    """
    for model in models:
        for _, layer in with_hidden_draws(model):
            aside = _WithoutCudnn()
            layer.register_forward_pre_hook(aside.leave)
            layer.register_forward_hook(aside.return_to_it, always_call=True)


def with_hidden_draws(model: nn.Module) -> Iterator[tuple[str, nn.RNNBase]]:
    """The recurrent layers of a model on a GPU that have dropout between their layers, by name.

    cuDNN draws their masks from a generator of its own, which it seeds once in a process. It can
    neither be stored nor seeded again, so that a run that is resumed draws other masks.
    """
    for name, layer in model.named_modules():
        draws = isinstance(layer, nn.RNNBase) and layer.dropout and layer.num_layers > 1
        if draws and any(parameter.is_cuda for parameter in layer.parameters()):
            yield name, layer


class _WithoutCudnn:
    """Switches cuDNN off while a layer is computed, and then back to what it was."""

    def __init__(self) -> None:
        self.before = torch.backends.cudnn.enabled

    def leave(self, layer: nn.Module, inputs: Any) -> None:
        self.before = torch.backends.cudnn.enabled
        torch.backends.cudnn.enabled = False

    def return_to_it(self, layer: nn.Module, inputs: Any, outputs: Any) -> None:
        torch.backends.cudnn.enabled = self.before
