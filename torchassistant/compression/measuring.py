"""What a candidate weighs, and how long it takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from safetensors.torch import save
from torch import Tensor, nn

from torchassistant.compression.calls import ModelCall, evaluating, with_rows
from torchassistant.errors import UserCodeError
from torchassistant.whole_files import own_memory

BATCH_SIZES = (1, 32)
_RUNS, _SECONDS = 30, 0.3


class Weight(NamedTuple):
    """What models weigh: bytes in memory and in files, and how many parameters that is."""

    size: int
    file: int
    parameters: int


def weight_of(models: Mapping[str, nn.Module]) -> Weight:
    """What models weigh; what they share counts once, but in each file that it stands in."""
    tensors: dict[tuple[int, int, torch.dtype], Tensor] = {}
    parameters: dict[int, int] = {}
    file = 0
    for model in models.values():
        state = {k: v for k, v in model.state_dict().items() if isinstance(v, Tensor)}
        tensors |= {(t.data_ptr(), t.numel(), t.dtype): t for t in state.values()}
        parameters |= {id(one): one.numel() for one in model.parameters()}
        file += len(save(own_memory(state)))
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    return Weight(size, file, sum(parameters.values()))


def latency_of(
    models: Mapping[str, nn.Module], calls: Sequence[tuple[str, ModelCall]]
) -> dict[str, float | None]:
    """Milliseconds of one call of each model, one after the other, by batch size; the median.

    None where the models cannot be called with a batch of that size.

    Args:
        models: By name.
        calls: What each was called with for one batch.
    """
    with torch.no_grad(), evaluating(models.values()):
        return {str(size): _milliseconds(models, calls, size) for size in BATCH_SIZES}


def _milliseconds(
    models: Mapping[str, nn.Module], calls: Sequence[tuple[str, ModelCall]], size: int
) -> float | None:
    if not calls:
        return None
    cut = [(models[name], with_rows(call, size)) for name, call in calls]

    def run() -> None:
        for model, call in cut:
            model(*call.args, **call.kwargs)
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    try:
        run()
    except (RuntimeError, ValueError, IndexError, TypeError, UserCodeError):
        return None
    times: list[float] = []
    while len(times) < _RUNS and sum(times) < _SECONDS:
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return 1000 * statistics.median(times)
