"""Gradients as flat tensors, one for each dtype and device: few operations do for all of them.

Each begins where memory of its own would: sums over it are rounded as it lies in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from torchassistant.errors import DataError
from torchassistant.parallel import Summands

_ALIGNED = 64
"""Elements to whose multiples a gradient is filled up, in whatever dtype."""


class _Place(NamedTuple):
    """Where the gradient of a parameter stands in a flat tensor.

    Args:
        number: Of the parameter among all.
        parameter: It.
        strides: Of its shape.
        begin: Of its first element.
        filling: The zeros that follow on it; None: none.
    """

    number: int
    parameter: Tensor
    strides: tuple[int, ...]
    begin: int
    filling: Tensor | None


class FlatGradients:
    """Where the gradients of parameters stand in flat tensors.

    Args:
        parameters: They.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = parameters
        by_kind: dict[tuple[torch.dtype, torch.device], list[_Place]] = {}
        sizes: dict[tuple[torch.dtype, torch.device], int] = {}
        for index, parameter in enumerate(parameters):
            kind = parameter.dtype, parameter.device
            begin, rest = sizes.get(kind, 0), -parameter.numel() % _ALIGNED
            filling = torch.zeros(rest, dtype=kind[0], device=kind[1]) if rest else None
            place = _Place(index, parameter, _strides(parameter.shape), begin, filling)
            by_kind.setdefault(kind, []).append(place)
            sizes[kind] = begin + parameter.numel() + rest
        self.groups = list(by_kind.values())
        self.kinds = [(size, *kind) for kind, size in sizes.items()]

    def is_of(self, parameters: Sequence[Tensor]) -> bool:
        """Whether these are the parameters, in this order."""
        return [*map(id, parameters)] == [*map(id, self.parameters)]

    @torch.no_grad()
    def joined(self, gradients: Sequence[Tensor | None]) -> Summands:
        """Gradients in flat tensors; 0 where there is none.

        Args:
            gradients: Of each parameter.

        Raises:
            DataError: A gradient is sparse.
        """
        flats = []
        for places in self.groups:
            pieces = []
            for place in places:
                gradient = gradients[place.number]
                if gradient is None:
                    gradient = torch.zeros_like(place.parameter)
                elif gradient.layout is not torch.strided:
                    raise DataError(
                        "sparse gradients cannot be added up over processes; leave out the "
                        'embedding\'s "sparse": true'
                    )
                pieces.append(gradient.reshape(-1))
                if place.filling is not None:
                    pieces.append(place.filling)
            flats.append(torch.cat(pieces))
        return flats

    def zeros(self) -> Summands:
        """The flat gradients of nothing."""
        return [torch.zeros(n, dtype=dtype, device=device) for n, dtype, device in self.kinds]

    def parted(self, flats: Summands, present: Sequence[bool]) -> Iterator[tuple[Tensor, Tensor]]:
        """The gradients in flat tensors: each parameter that has one, and it.

        Args:
            flats: The tensors.
            present: For each parameter whether there is a gradient.
        """
        for flat, places in zip(flats, self.groups, strict=True):
            for number, parameter, strides, begin, _ in places:
                if present[number]:
                    yield parameter, flat.as_strided(parameter.shape, strides, begin)


def _strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Of a tensor of a shape that lies in memory row by row."""
    found: list[int] = []
    each = 1
    for size in reversed(shape):
        found.insert(0, each)
        each *= size
    return tuple(found)
