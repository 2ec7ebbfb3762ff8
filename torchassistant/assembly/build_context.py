"""What the definitions of every group are built with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import nn

from torchassistant.assembly.devices import Devices
from torchassistant.assembly.object_maker import ObjectMaker
from torchassistant.assembly.parts import Parts
from torchassistant.assembly.reachable_models import models_reached
from torchassistant.assembly.weight_files import Source
from torchassistant.config import (
    GROUPS,
    LOSSES,
    Key,
    ModelWeightsSpec,
    Path,
    Spec,
    module_named,
)
from torchassistant.data import random_state, same_state
from torchassistant.errors import UserError

ReadSession = Callable[[ModelWeightsSpec, str], Source]
"""Gives the weights of a model of a session: what the config says of it, and the model's name."""


def no_sessions(spec: ModelWeightsSpec, model: str) -> Source:
    """Where nothing reads sessions."""
    raise UserError(f"{spec.shown} is not read here")


@dataclass(slots=True)
class FittedArtifacts:
    """What is decided once, when a session is created, and stands ever after.

    Args:
        splits: For each split, one int64 tensor of indices a slice.
        redraws: Whether splits that do not fit their dataset any more are drawn again.
        preprocessors: The state of each preprocessor that has one.
    """

    splits: dict[str, list[torch.Tensor]] = field(default_factory=dict)
    redraws: bool = False
    preprocessors: dict[str, Any] = field(default_factory=dict)


class Defined(NamedTuple):
    """A definition that is to be built.

    Args:
        key: Its group and name.
        spec: The block of its group.
        path: Where the block stands in the config.
    """

    key: Key
    spec: Any
    path: Path

    @property
    def name(self) -> str:
        """Its own name."""
        return self.key.name

    @property
    def what(self) -> str:
        """What it is in messages, as ``the model "encoder"``."""
        return f'the {GROUPS[self.key.group].noun} "{self.key.name}"'


@dataclass(eq=False)
class BuildContext:
    """What is there to build with.

    Args:
        spec: The config, checked.
        parts: What is built so far; also what a ``factory_fn`` gets.
        devices: Where things are.
        fitted: What was decided when the session was created.
        maker: Makes the objects that the config describes.
        read_session: Gives weights of other sessions.

    ``drew`` are the definitions that drew random numbers when they were built, as far as they make
    examples. ``lacks_parameters`` says that the parameters of what is being built have no memory
    yet.
    """

    spec: Spec
    parts: Parts
    devices: Devices
    fitted: FittedArtifacts
    maker: ObjectMaker
    read_session: ReadSession = no_sessions

    def __post_init__(self) -> None:
        self.drew: set[Key] = set()
        self.lacks_parameters = False

    def object_of(self, one: Defined, first: Sequence[Any] = ()) -> Any:
        """The object that a definition describes.

        Args:
            one: The definition.
            first: The arguments that its role gives before those of the config.

        Raises:
            ConfigError: There is no such thing, it is of another kind, or its arguments do not fit.
            UserCodeError: The user's code raised.
        """
        return self.maker.make(one.spec, one.path, one.what, one.key.group, first)

    def callable_of(
        self, spec: Any, path: Path, what: str, role: str, first: Sequence[Any] = ()
    ) -> Callable[..., Any]:
        """An object that is to be called.

        Args:
            spec: Has ``class_`` or ``factory_fn``, ``args`` and ``kwargs``.
            path: Where it stands in the config.
            what: What it is in messages.
            role: The name of its role.
            first: The arguments that the role gives before those of the config.

        Raises:
            ConfigError: As :meth:`object_of`; or it cannot be called.
        """
        made = self.maker.make(spec, path, what, role, first)
        if not callable(made):
            raise self.maker.problem(f"{what} cannot be called", path)
        return made

    def trainable(self, name: str, path: Path) -> nn.Module:
        """The model, or the loss, that an optimizer or a clipper names at a path."""
        module, key = self.parts.module(name), module_named(name)
        if not isinstance(module, nn.Module) or next(module.parameters(), None) is None:
            what = f'the {GROUPS[key.group].noun} "{key.name}"'
            raise self.maker.problem(f"{what} has no parameters", path)
        # A model is where it belongs already; optimizers want to know where parameters are.
        return module.to(self.devices.base) if key.group == LOSSES else module

    def calls_of(self, objects: Sequence[Any]) -> Callable[[], Sequence[nn.Module]]:
        """Gives the modules that objects may call, once everything is built; looked for once."""
        parts = self.parts
        return cache(lambda: models_reached(objects, parts, parts.models))

    @contextmanager
    def noting_draws(self, key: Key) -> Iterator[None]:
        """Note whether a definition draws random numbers in here."""
        before = random_state()
        yield
        if not same_state(before, random_state()):
            self.drew.add(key)
