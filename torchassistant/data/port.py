"""A port of a batch graph, and what feeds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torchassistant.data.epoch_loader import EpochLoader
from torchassistant.frames import Frame


@dataclass(frozen=True, slots=True, eq=False)
class Port:
    """What feeds one port.

    Args:
        name: The name of the port.
        loader: Gives batches.
        columns: Names of the columns of a batch; None names them ``input_1``, ``input_2``, …
        source: The name of the loader factory, for messages.
        dataset: The name of its dataset, for messages.
        put: Brings a frame to where it is needed; None leaves it where it is.
        dropped: Names of columns that no frame gets.
        restarts: Whether its loader begins anew while those of other ports last.
    """

    name: str
    loader: EpochLoader
    columns: tuple[str, ...] | None
    source: str = ""
    dataset: str = ""
    put: Callable[[Frame], Frame] | None = None
    dropped: frozenset[str] = frozenset()
    restarts: bool = False
