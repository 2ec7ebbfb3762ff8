"""A device for tests where there is no GPU: the CPU computes its tensors, but they are kept apart.

Whoever mixes them with tensors of the host, or hands them to another process, is told so. The name
is that of a device that torch knows, and that nothing of its own stands behind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from ranks import called, ranks
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from torchassistant.assembly import devices

NAME = "lazy"

aten = torch.ops.aten

MAY_MIX = {aten.copy_, aten._to_copy, aten.index, aten.index_put_, aten._index_put_impl_}
"""What takes tensors of several devices, on a GPU too."""

JOINING = {aten.cat, aten.stack}
"""What takes no single number of the host among tensors of a GPU; others do."""


class Card(Tensor):
    """A tensor on a card; ``held`` has its values."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor, device: torch.device) -> Card:
        made: Card = Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=device,
        )
        made.held = held
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Card({self.held}, {self.device})"

    def tolist(self) -> Any:
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, call: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if call.namespace != "aten":
            raise RuntimeError(f"{call} of tensors on a card")
        given = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        home = next(one.device for one in given if isinstance(one, Card))
        if call.overloadpacket not in MAY_MIX:
            joins = call.overloadpacket in JOINING
            places = {one.device for one in given if one.ndim or isinstance(one, Card) or joins}
            if len(places) > 1:
                raise RuntimeError(f"{call} of tensors on {' and '.join(sorted(map(str, places)))}")
        target = torch.device(kwargs.get("device") or home)
        if "device" in kwargs:
            kwargs = {**kwargs, "device": torch.device("cpu")}
        result = call(*tree_map(_held, args), **tree_map(_held, kwargs))
        if call._schema.is_mutable and isinstance(result, Tensor):
            return args[0] if "out" not in kwargs else kwargs["out"]
        if target.type == "cpu":
            return result
        return tree_map(lambda one: Card(one, target) if isinstance(one, Tensor) else one, result)


def _held(value: Any) -> Any:
    return value.held if isinstance(value, Card) else value


_library: list[Any] = []


def set_up() -> None:
    """Let this process have cards, and take that of its local rank for all but ``cpu``."""
    library = torch.library.Library("aten", "IMPL")
    library.impl("empty.memory_format", _empty, "Lazy")
    library.impl("empty_strided", _empty_strided, "Lazy")
    library.impl("_copy_from", _copy_from, "Lazy")
    _library.append(library)  # what it has registered goes with it

    def resolved(name: str, local_rank: int = 0) -> torch.device:
        return torch.device("cpu") if name == "cpu" else torch.device(NAME, local_rank)

    devices.resolve_device = resolved


def _empty(size: Any, dtype: Any = None, device: Any = None, **kwargs: Any) -> Tensor:
    return Card(torch.empty(size, dtype=dtype), device)


def _empty_strided(
    size: Any, stride: Any, dtype: Any = None, device: Any = None, **kwargs: Any
) -> Tensor:
    return Card(torch.empty_strided(size, stride, dtype=dtype), device)


def _copy_from(source: Tensor, to: Tensor, non_blocking: bool = False) -> Tensor:
    _held(to).copy_(_held(source))
    return to


def on_cards(count: int, run: Callable[[], int]) -> str:
    """Run something in so many processes, each with a card of its own: what the first prints."""

    def run_there() -> int:
        set_up()
        return run()

    with ranks(count, run_there) as running:
        assert running.wait() == [0] * count, running.printed()
        assert [running.printed(rank) for rank in range(1, count)] == [""] * (count - 1)
        return running.printed()


def commanded(count: int, *arguments: object) -> str:
    """The same for a command."""
    return on_cards(count, called([*map(str, arguments)]))
