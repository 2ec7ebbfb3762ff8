"""Buffers that the parts of a step have changed, each for itself, and what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from torchassistant.compat.modules import own_buffers
from torchassistant.graph import distinct, elements_of
from torchassistant.parallel import Tree, World
from torchassistant.training.pipeline import Pipeline


class PartBuffers:
    """Lets each part begin with the same buffers; what they made of those is brought together.

    Of a buffer of floating numbers the parts' mean is taken, in their order; of any other that of
    the first part. Parts without examples do not count.

    Args:
        pipeline: Whose modules.
        world: Which parts there are.
    """

    def __init__(self, pipeline: Pipeline, world: World) -> None:
        self.pipeline = pipeline
        self.world = world
        self.places: list[tuple[nn.Module, str]] = []
        self.before: list[Tensor] = []
        self.made: list[list[Tensor] | None] = []
        self.changed: list[bool] = []
        self.tables: list[tuple[nn.Module, Mapping[str, Tensor | None]]] = []

    def start_epoch(self) -> None:
        """Look at the modules again: there may be others."""
        reached = self.pipeline.reached
        parts = distinct(part for module in reached for part in module.modules())
        self.tables = [(part, own_buffers(part)) for part in parts]

    def start(self) -> None:
        """A step begins."""
        found: dict[int, tuple[nn.Module, str]] = {}
        for part, table in self.tables:
            for name, buffer in table.items() if table else ():
                if buffer is not None and not is_lazy(buffer):
                    found.setdefault(id(buffer), (part, name))
        self.places = list(found.values())
        self.before = [tensor.detach().clone() for tensor in self._now()]
        self.made = []
        self.changed = [False] * len(self.places)

    def start_part(self) -> None:
        """The next part begins, with the buffers that the step began with."""
        if self.made and self.places:
            self._put(self.before)

    def finish_part(self, is_empty: bool) -> None:
        """A part is computed; ``is_empty`` says that it had no example."""
        if is_empty:
            self.made.append(None)
            return
        now = self._now()
        for index, (buffer, before) in enumerate(zip(now, self.before, strict=True)):
            if not self.changed[index] and not _is_same(buffer, before):
                self.changed[index] = True
        is_last = len(self.made) + 1 == len(self.world.own)
        self.made.append([b.detach() if is_last else b.detach().clone() for b in now])

    def share(self, changed: Sequence[bool], filled: Sequence[bool]) -> None:
        """Bring together what the parts of all processes have made.

        Args:
            changed: For each buffer whether any part has changed it.
            filled: For each part whether it had an example.
        """
        indices = [index for index, is_changed in enumerate(changed) if is_changed]
        if not indices:
            return
        whole = [tensor.clone() for tensor in self.before]
        kinds = [(tensor.dtype, tensor.device) for tensor in self.before]
        for kind in dict.fromkeys(kinds[index] for index in indices):
            some = [index for index in indices if kinds[index] == kind]
            rows = torch.stack(
                [
                    torch.cat([(made or self.before)[i].detach().flatten() for i in some])
                    for made in self.made
                ]
            )
            row = _merged(self.world.processes.gather(rows).flatten(0, 1)[[*filled]])
            for index, piece in zip(
                some, row.split([self.before[i].numel() for i in some]), strict=True
            ):
                whole[index] = piece.view(self.before[index].shape)
        self._put(whole)

    def _now(self) -> list[Tensor]:
        buffers = (own_buffers(part)[name] for part, name in self.places)
        return [elements_of(buffer) for buffer in buffers if buffer is not None]

    def _put(self, values: list[Tensor]) -> None:
        with torch.no_grad():
            for buffer, value in zip(self._now(), values, strict=True):
                buffer.copy_(value)


def _merged(rows: Tensor) -> Tensor:
    """Of what the parts have made (P, N): their mean, or what the first has."""
    if not (rows.is_floating_point() or rows.is_complex()) or len(rows) == 1:
        return rows[0]
    tree = Tree()
    for row in rows.unbind():
        tree.add([row.clone()])
    return tree.total()[0] / len(rows)


def _is_same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(torch.equal(one, other))
