"""safetensors: the weights of models, under the names of the models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from torchassistant.assembly import MODELS
from torchassistant.export.verification import NotEqual
from torchassistant.whole_files import own_memory, save_tensors


def write_weights(
    models: Mapping[str, nn.Module], path: Path, dtype: torch.dtype | None = None
) -> None:
    """Write parameters and buffers of models, each as ``MODEL.NAME``, and read them back.

    Args:
        models: By name.
        path: The file.
        dtype: Of floating-point tensors; None: as they are.

    Raises:
        NotEqual: What is read back is not what was written.
    """
    tensors = own_memory(
        {
            f"{model}.{name}": _in(tensor, dtype)
            for model, module in models.items()
            for name, tensor in module.state_dict().items()
            if isinstance(tensor, Tensor)
        }
    )
    # As a config's "weights" read it, and libraries that ask for what a file is made of.
    save_tensors(tensors, path, {"format": "pt", MODELS: json.dumps(list(models))})
    found = load_file(path)
    for name, tensor in tensors.items():
        if name not in found or not _is_same(tensor, found[name]):
            raise NotEqual(f'"{name}" is read back otherwise than it was written')


def _in(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    return tensor if dtype is None or not tensor.is_floating_point() else tensor.to(dtype)


def _is_same(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(
        one.nan_to_num() if one.is_floating_point() else one,
        other.nan_to_num() if one.is_floating_point() else other,
    )
