"""What a config says of how things are computed, in the words of torch."""

from __future__ import annotations

import torch

from torchassistant.config.spec import CompileSpec
from torchassistant.graph import Compiling

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
