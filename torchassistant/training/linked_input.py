"""A port that is fed by what another pipeline has met, in place of a loader."""

from __future__ import annotations

from collections.abc import Mapping
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
    """

    port: str
    pipeline: str
    node: str | None
    names: Mapping[str, str]

    def feed(self, frames: Frames, met: Frames, graph: BatchGraph) -> None:
        """Add the frame of the port.

        Args:
            frames: Get the frame, and the number of examples in it.
            met: The frames of the other pipeline's batch, once it has run.
            graph: The graph of the other pipeline.

        Raises:
            DataError: A column that gets another name is missing, or two frames share a column.
        """
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
        frames[self.port] = {self.names.get(k, k): detached(value) for k, value in whole.items()}
        frames.counts[self.port] = count

    def __str__(self) -> str:
        of = "the ports" if self.node is None else f'the node "{self.node}"'
        return f'the port "{self.port}", fed by {of} of the pipeline "{self.pipeline}"'

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
