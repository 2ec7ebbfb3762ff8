"""What a config says of how things are computed, in the words of torch."""

from __future__ import annotations

import torch

from torchassistant.assembly.devices import Devices
from torchassistant.config import CompileSpec
from torchassistant.graph import BatchGraph, Compiling
from torchassistant.training import Precision

MEMORY_FORMATS = {
    "channels_last": torch.channels_last,
    "channels_last_3d": torch.channels_last_3d,
}


def compiling_of(value: bool | str | CompileSpec) -> Compiling | None:
    """What a value of ``compile`` asks for; None is not to compile."""
    if value is False:
        return None
    if isinstance(value, str):
        return Compiling(mode=value)
    if isinstance(value, CompileSpec):
        return Compiling(value.backend, value.mode, value.fullgraph, value.dynamic)
    return Compiling()


def precision_of(name: str, devices: Devices, graph: BatchGraph) -> Precision:
    """The precision of what runs over a graph: on its GPU, where some of it is on one."""
    homes = [devices.processors[processor] for processor in graph.processors]
    return Precision(name, next((d for d in homes if d.type != "cpu"), devices.base))
