"""Taps: what modules inside a model give, or get, as further outputs of a node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from torchassistant.compat.tensor_internals import version_of
from torchassistant.errors import DataError
from torchassistant.graph.node_values import Call, Place, kind_of, listed

_INPUT = "@input"


class Tap(NamedTuple):
    """A place in a model whose values are an output of its node.

    Args:
        name: Of the output.
        written: The place as the config says it: ``PATH`` or ``PATH@input``.
    """

    name: str
    written: str

    @property
    def path(self) -> str:
        """Of the module, from the model."""
        return self.written.rpartition(":")[2].removesuffix(_INPUT)

    @property
    def is_of_input(self) -> bool:
        """Whether it is what the module gets, and not what it gives."""
        return self.written.endswith(_INPUT)


def tapped_call(
    model: nn.Module, call: Call, taps: Sequence[Tap], names: Sequence[str], place: Place
) -> Call:
    """A call that gives the outputs of a model, and after them the values of its taps.

    Hooks are there while the model runs, and leave nothing behind.

    Args:
        model: Has the modules.
        call: Calls it.
        taps: In the order in which their values are given.
        names: Of the outputs of the model itself.
        place: The node, for messages.
    """
    modules = [model.get_submodule(tap.path) for tap in taps]

    def tapped(*args: Any) -> list[Any]:
        caught = [_Caught(tap, place) for tap in taps]
        with _hooked(modules, caught):
            result = call(*args)
        return [*listed(result, names, place), *(one.value() for one in caught)]

    return tapped


@contextmanager
def _hooked(modules: Sequence[nn.Module], caught: Sequence[_Caught]) -> Iterator[None]:
    handles = [one.hook(module) for module, one in zip(modules, caught, strict=True)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Caught:
    """What one tap has met in one call of its model."""

    def __init__(self, tap: Tap, place: Place) -> None:
        self.tap = tap
        self.place = place
        self.tensor: torch.Tensor | None = None
        self.version = 0
        self.calls = 0

    def hook(self, module: nn.Module) -> RemovableHandle:
        """Listen to a module."""
        if self.tap.is_of_input:
            return module.register_forward_pre_hook(self._take_input, with_kwargs=True)
        return module.register_forward_hook(self._take_output)

    def _take_input(self, module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        self._take([*args, *named.values()])

    def _take_output(self, module: nn.Module, args: tuple[Any, ...], result: Any) -> None:
        self._take(result)

    def _take(self, value: Any) -> None:
        self.calls += 1
        if isinstance(value, (list, tuple)) and len(value):
            value = value[0]
        if not isinstance(value, torch.Tensor):
            raise self._error(f"has {kind_of(value)} there, and no tensor; tap a module inside it")
        self.tensor, self.version = value, version_of(value)

    def value(self) -> torch.Tensor:
        """The tensor that was there.

        Raises:
            DataError: The module ran several times, or not at all; or the model has changed the
                tensor since.
        """
        if self.tensor is None:
            raise self._error("did not run in this call of its model; tap one that always runs")
        if self.calls > 1:
            raise self._error(
                f"ran {self.calls} times in one call of its model, and a tap has one value; tap a "
                "module around it, or let each place have a module of its own"
            )
        if version_of(self.tensor) != self.version:
            raise self._error(
                "has a tensor there that the model changes in place afterwards, as "
                "ReLU(inplace=True) does; tap the module that changes it, or let it not work in "
                "place"
            )
        return self.tensor

    def _error(self, what: str) -> DataError:
        return DataError(
            f'the tap "{self.tap.name}" of {self.place}: the module "{self.tap.path}" {what}',
            about=self.place,
        )
