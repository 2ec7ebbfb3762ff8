"""What a config says of how things are computed, in the words of torch."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from torchassistant.assembly.devices import Devices
from torchassistant.config import CompileSpec, Spec, origin_of
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
    return _precision(name, devices, (devices.processors[one] for one in graph.processors))


def precision_of_models(spec: Spec, devices: Devices, names: Iterable[str]) -> Precision:
    """The precision of what calls models by itself: on their GPU, where some are on one."""
    origins = (origin_of(name, spec.group("models")) for name in names)
    homes = (devices.models.get(origin, devices.base) for origin in origins)
    return _precision(spec.precision, devices, homes)


def _precision(name: str, devices: Devices, homes: Iterable[torch.device]) -> Precision:
    return Precision(name, next((d for d in homes if d.type != "cpu"), devices.base))
