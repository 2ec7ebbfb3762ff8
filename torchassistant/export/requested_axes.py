"""Which axes a person wants to be of any size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from torchassistant.errors import ConfigError, listing, near
from torchassistant.export.exportable import Exportable
from torchassistant.export.exported_graph import Tensors
from torchassistant.export.sample_batches import Axes


@dataclass(frozen=True, slots=True)
class Requested:
    """The sizes that a file is to take.

    Args:
        batch: The only size of batches; None: any.
        axes: For each input its further axes of any size.
    """

    batch: int | None
    axes: Mapping[str, Sequence[int]]

    def applied(self, exportable: Exportable) -> Exportable:
        """The graph with these axes.

        Raises:
            ConfigError: There is no such input or axis.
        """
        axes = dict(exportable.axes)
        for name, wanted in self.axes.items():
            if name not in axes:
                known = list(axes)
                raise ConfigError(
                    f'there is no input "{name}"{near(name, known)}; there are {listing(known)}'
                )
            count = exportable.samples[-1][name].ndim
            for axis in wanted:
                if not 0 <= axis < count:
                    raise ConfigError(f'"{name}" has the axes 0 to {count - 1}; found {axis}')
            own = axes[name]
            new = [axis for axis in wanted if axis not in (*own.batch, *own.varying)]
            axes[name] = Axes(own.batch, (*own.varying, *new))
        return replace(exportable, axes=axes, batch=self.batch)

    def further(
        self, exportable: Exportable, batches: Sequence[tuple[int, Tensors]]
    ) -> list[tuple[int, Tensors]]:
        """Batches in which the axes that were asked for have other sizes."""
        if not self.axes:
            return []
        size, inputs = batches[-1]
        sizes = {inputs[n].shape[a] for n, axes in self.axes.items() if n in inputs for a in axes}
        made = []
        for change in (1, -1):
            others = {
                name: _resized(value, self.axes.get(name, ()), change)
                for name, value in inputs.items()
            }
            if min(sizes, default=2) + change > 0:
                made.append((size, others))
        return made


def _resized(value: Tensor, axes: Sequence[int], change: int) -> Tensor:
    """A tensor that is longer or shorter along some axes; what is longer begins anew."""
    for axis in axes:
        count = value.shape[axis]
        value = value.index_select(axis, torch.arange(count + change) % count)
    return value


def requested(batch: int | None, dynamic: Sequence[str]) -> Requested:
    """What was asked for, each axis as ``INPUT:AXIS``.

    Raises:
        ConfigError: It is written otherwise.
    """
    axes: dict[str, list[int]] = {}
    for text in dynamic:
        name, _, axis = text.rpartition(":")
        if not name or not axis.isdecimal():
            raise ConfigError(f"an axis is named as INPUT:AXIS, as words:1; found {text!r}")
        axes.setdefault(name, []).append(int(axis))
    return Requested(batch, axes)
