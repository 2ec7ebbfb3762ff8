"""Batches on their way to a GPU: copied there beside what is computed.

The host is ahead of a GPU: it asks for the next batch while the GPU is at work on the one at hand.
Copied on a stream of its own, from pinned memory, that batch is there when the work on it begins,
and nobody has waited. No batch is fetched before it is asked for, so that nothing is drawn earlier,
and nothing has to be given back, where a run is stopped.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch


def prefetched(frame: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """A frame with the tensors of the host on a CUDA device, for the stream that is current there.

    Args:
        frame: Tensors on the host are pinned, where they are not yet; the rest stays as it is.
        device: A CUDA device.
    """
    copying, current = _copy_stream(device), torch.cuda.current_stream(device)
    with torch.cuda.stream(copying):
        given = {name: _copied(value, device) for name, value in frame.items()}
    current.wait_stream(copying)
    for name, value in given.items():
        if value is not frame[name]:
            # It was allocated for the other stream, which must not have it back before this one
            # is through with it.
            value.record_stream(current)
    return given


@cache
def _copy_stream(device: torch.device) -> torch.cuda.Stream:
    """One for each device: memory that was freed on a stream is there for that stream."""
    return torch.cuda.Stream(device)


def _copied(value: Any, device: torch.device) -> Any:
    is_dense = isinstance(value, torch.Tensor) and value.layout is torch.strided
    if not (is_dense and value.is_cpu):
        return value
    return value.pin_memory().to(device, non_blocking=True)
