"""Which device a name means on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

from torchassistant.assembly.object_maker import PlaceOf
from torchassistant.config import Path, Spec, origin_of
from torchassistant.errors import ConfigError, Problem
from torchassistant.parallel import Processes


class NoDevice(Exception):
    """This machine has no such device; the message is a sentence for the user."""


def resolve_device(name: str, local_rank: int = 0) -> torch.device:
    """``auto`` is a GPU, else the CPU. ``auto`` and ``cuda`` share out the GPUs to processes.

    Args:
        name: As a config has it.
        local_rank: The number of this process among those of its machine.

    Raises:
        NoDevice: This machine has no such device.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        if count:
            return torch.device("cuda", local_rank % count)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind == "cuda" and (number or "0").isdecimal():
        # torch raises for numbers that no machine has.
        if int(number or 0) >= count:
            raise NoDevice(f'the device is "{name}", and this machine has {count} CUDA devices')
        # Tensors say which one they are on: whether one is there already is asked by comparison.
        return torch.device("cuda", int(number) if number else local_rank % count)
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
        processes: Those that run the config together, each with devices of its own.

    Raises:
        ConfigError: With a problem for each device that this machine lacks, or that all processes
            would share, where each has another one of its own.
    """

    def __init__(
        self,
        spec: Spec,
        place_of: PlaceOf,
        override: str | None = None,
        processes: Processes | None = None,
    ) -> None:
        problems: list[Problem] = []
        processes = processes or Processes()

        def resolved(name: str, path: Path) -> torch.device:
            try:
                return resolve_device(name, processes.local_rank)
            except NoDevice as error:
                problems.append(Problem(str(error), place_of(path)))
                return torch.device("cpu")

        self.base = resolved(override or spec.device, ("device",))
        self.processors: dict[str, torch.device] = {}
        # Parts and averages of models are where these are.
        self.models: dict[str, torch.device] = {}
        models = spec.group("models")
        named: dict[Path, str] = {}
        for index, definition in enumerate(spec.initialize.definitions):
            if definition.group != "batch_processors":
                continue
            own = None if override else definition.spec.device
            path: Path = ("initialize", "definitions", index, "spec", "device")
            device = resolved(own, path) if own else self.base
            if device.type == "cuda":
                named[path if own else ("device",)] = own or override or spec.device
            self.processors[definition.name] = device
            for node in definition.spec.neural_graph or []:
                self.models[origin_of(node.model_name, models)] = device
        losses = spec.group("losses")
        for pipeline in spec.initialize.pipelines.values():
            for item in pipeline.losses:
                home = self.processors.get(item.node_name or "", self.base)
                for name in losses[item.loss_name].models if item.loss_name in losses else ():
                    self.models.setdefault(origin_of(name, models), home)
        if processes.size > 1:
            problems += [Problem(message, place_of(path)) for path, message in _mixed(named)]
        if problems:
            raise ConfigError(*problems)

    @property
    def moves(self) -> bool:
        """Whether tensors may be on another device than where they are needed."""
        return any(device.type != "cpu" for device in (self.base, *self.processors.values()))

    def set_for_process(self) -> None:
        """Make the GPU of this process its current one: libraries leave others alone then."""
        for device in (self.base, *self.processors.values()):
            if device.type == "cuda":
                torch.cuda.set_device(device)
                return


def _mixed(named: Mapping[Path, str]) -> Iterator[tuple[Path, str]]:
    """The GPUs that are the same for all processes, where each process has one of its own too.

    Args:
        named: What the config calls its GPUs, and where.
    """
    shared_out = next((name for name in named.values() if ":" not in name), None)
    if shared_out is None:
        return
    for path, name in named.items():
        if ":" in name:
            yield (
                path,
                f'"{name}" is one GPU for all processes, and "{shared_out}" of others is each '
                "process's own: number the devices of all batch processors, or of none",
            )
