"""A port that is fed by what another pipeline has met, in place of a loader."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from torchassistant.errors import DataError, listing
from torchassistant.frames import Frame, Frames
from torchassistant.graph import BatchGraph


@dataclass(frozen=True, slots=True, eq=False)
class LinkedInput:
    """What feeds one port from another pipeline.

    Args:
        port: The port.
        pipeline: The name of the other pipeline.
        node: The processor whose frame it is; None: the frames of all ports, united.
        names: Other names for columns, by their own.
        dropped: Other names whose columns are left out.
    """

    port: str
    pipeline: str
    node: str | None
    names: Mapping[str, str]
    dropped: Collection[str] = ()

    def feed(self, frames: Frames, met: Frames, graph: BatchGraph) -> None:
        """Add the frame of the port.

        Args:
            frames: Get the frame, and the number of examples in it.
            met: The frames of the other pipeline's batch, once it has run.
            graph: The graph of the other pipeline.

        Raises:
            DataError: A column that gets another name is missing, two columns would have one name,
                or two frames share a column.
        """
        if not any(met.counts.values()):  # a part of a batch that has no example
            frames.counts[self.port] = 0
            return
        if self.node is not None:
            whole, count = met[self.node], graph.count_of(met, self.node)
        else:
            whole, count = self._united(met, graph)
        missing = self.names.keys() - whole.keys()
        if missing:
            raise DataError(
                f"{self}: there is no column {listing(sorted(missing))}, which variable_names "
                f"gives another name; the columns are {listing(list(whole))}"
            )
        names = [self.names.get(name, name) for name in whole]
        frame = {
            name: detached(value)
            for name, value in zip(names, whole.values(), strict=True)
            if name not in self.dropped
        }
        if len(frame) < len(names):
            self._named_once([name for name in names if name not in self.dropped])
        frames[self.port] = frame
        frames.counts[self.port] = count

    def __str__(self) -> str:
        of = "the ports" if self.node is None else f'the node "{self.node}"'
        return f'the port "{self.port}", fed by {of} of the pipeline "{self.pipeline}"'

    def _named_once(self, names: Sequence[str]) -> None:
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError(f"{self}: two columns would be named {listing(twice)}")

    def _united(self, met: Frames, graph: BatchGraph) -> tuple[Frame, int]:
        ports = [port for port in graph.ports if port in met]
        whole = {name: value for port in ports for name, value in met[port].items()}
        if len(whole) < sum(len(met[port]) for port in ports):
            raise DataError(f'{self}: its frames share columns; "node" takes one of them')
        return whole, met.counts[ports[0]]


def detached(value: Any) -> Any:
    """A value of a frame without its graph."""
    if isinstance(value, torch.Tensor):
        return value.detach()
    if type(value) in (list, tuple):
        return type(value)(map(detached, value))
    return value
