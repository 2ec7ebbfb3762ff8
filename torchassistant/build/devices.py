"""Which device a name means on this machine."""

from __future__ import annotations

import torch

from torchassistant.config import Spec
from torchassistant.errors import ConfigError


def resolve_device(name: str) -> torch.device:
    """``auto`` is the first GPU, else the CPU.

    Raises:
        ConfigError: This machine has no such device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise ConfigError(f'the device is "{name}", and this machine has {count} CUDA devices')
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError('the device is "mps", and this machine has none')
    return device


class Devices:
    """Where each processor and each model of a config is.

    Args:
        spec: The config.
        override: One device for everything, whatever the config says.
    """

    def __init__(self, spec: Spec, override: str | None = None) -> None:
        self.base = resolve_device(override or spec.device)
        self.processors: dict[str, torch.device] = {}
        self.models: dict[str, torch.device] = {}
        for name, processor in spec.group("batch_processors").items():
            own = None if override else processor.device
            device = resolve_device(own) if own else self.base
            self.processors[name] = device
            for node in processor.neural_graph or []:
                self.models[node.model_name] = device

    @property
    def moves(self) -> bool:
        """Whether tensors may be on another device than where they are needed."""
        return any(device.type != "cpu" for device in (self.base, *self.processors.values()))
