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
    on_host = [name for name, value in frame.items() if _is_on_host(value)]
    if not on_host:
        return frame
    copying, current = _copy_stream(device), torch.cuda.current_stream(device)
    with torch.cuda.stream(copying):
        copies = {name: _copied(frame[name], device) for name in on_host}
    current.wait_stream(copying)
    for copy in copies.values():
        # It was allocated for the other stream, which must not have it back before this one is
        # through with it.
        copy.record_stream(current)
    return {**frame, **copies}


@cache
def _copy_stream(device: torch.device) -> torch.cuda.Stream:
    """One for each device: memory that was freed on a stream is there for that stream."""
    return torch.cuda.Stream(device)


def _is_on_host(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_cpu and value.layout is torch.strided


def _copied(value: torch.Tensor, device: torch.device) -> torch.Tensor:
    return value.pin_memory().to(device, non_blocking=True)
