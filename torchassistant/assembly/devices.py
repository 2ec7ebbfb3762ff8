"""Which device a name means on this machine."""

from __future__ import annotations

import torch

from torchassistant.assembly.object_maker import PlaceOf
from torchassistant.config import Path, Spec, origin_of
from torchassistant.errors import ConfigError, Problem


class NoDevice(Exception):
    """This machine has no such device; the message is a sentence for the user."""


def resolve_device(name: str) -> torch.device:
    """``auto`` is the first GPU, else the CPU.

    Raises:
        NoDevice: This machine has no such device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind == "cuda" and (number or "0").isdecimal():
        # torch raises for numbers that no machine has.
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(number or 0) >= count:
            raise NoDevice(f'the device is "{name}", and this machine has {count} CUDA devices')
        # Tensors say which one they are on: whether one is there already is asked by comparison.
        return torch.device("cuda", int(number or 0))
    device = torch.device(name)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise NoDevice('the device is "mps", and this machine has none')
    return device


class Devices:
    """Where each processor and each model of a config is.

    Args:
        spec: The config.
        place_of: Where things stand in the user's files.
        override: One device for everything, whatever the config says.

    Raises:
        ConfigError: This machine lacks devices that the config names; with one problem for each.
    """

    def __init__(self, spec: Spec, place_of: PlaceOf, override: str | None = None) -> None:
        problems: list[Problem] = []

        def resolved(name: str, path: Path) -> torch.device:
            try:
                return resolve_device(name)
            except NoDevice as error:
                problems.append(Problem(str(error), place_of(path)))
                return torch.device("cpu")

        self.base = resolved(override or spec.device, ("device",))
        self.processors: dict[str, torch.device] = {}
        # Parts and averages of models are where these are.
        self.models: dict[str, torch.device] = {}
        models = spec.group("models")
        for index, definition in enumerate(spec.initialize.definitions):
            if definition.group != "batch_processors":
                continue
            own = None if override else definition.spec.device
            path: Path = ("initialize", "definitions", index, "spec", "device")
            device = resolved(own, path) if own else self.base
            self.processors[definition.name] = device
            for node in definition.spec.neural_graph or []:
                self.models[origin_of(node.model_name, models)] = device
        losses = spec.group("losses")
        for pipeline in spec.initialize.pipelines.values():
            for item in pipeline.losses:
                home = self.processors.get(item.node_name or "", self.base)
                for name in losses[item.loss_name].models if item.loss_name in losses else ():
                    self.models.setdefault(origin_of(name, models), home)
        if problems:
            raise ConfigError(*problems)

    @property
    def moves(self) -> bool:
        """Whether tensors may be on another device than where they are needed."""
        return any(device.type != "cpu" for device in (self.base, *self.processors.values()))
