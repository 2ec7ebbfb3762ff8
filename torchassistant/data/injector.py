"""Feeds the ports of a batch graph: loaders give batches, batches become data frames."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import torch

from torchassistant.data.loaders import EpochLoader
from torchassistant.errors import DataError, UserCodeError, UserError, listing

FramesOfEpoch = Generator[dict[str, dict[str, Any]], None, None]
"""Frames by port, batch after batch; closing it ends what loads the data."""


@dataclass(frozen=True, slots=True)
class Port:
    """What feeds one port.

    Args:
        name: The name of the port.
        loader: Gives batches.
        columns: Names of the columns of a batch; None names them ``input_1``, ``input_2``, …
        source: The name of the loader factory, for messages.
        dataset: The name of its dataset, for messages.
        put: Brings a frame to where it is needed; None leaves it where it is.
    """

    name: str
    loader: EpochLoader
    columns: tuple[str, ...] | None
    source: str = ""
    dataset: str = ""
    put: Callable[[dict[str, Any]], dict[str, Any]] | None = None


class Injector:
    """Frames for every port of a graph, batch after batch; the shortest loader ends the pass."""

    def __init__(self, ports: Sequence[Port]) -> None:
        self.ports = ports

    def length(self) -> int | None:
        """The number of batches in one pass, as far as the data tells the truth; None where a
        dataset or sampler does not say.
        """
        try:
            return min(len(port.loader) for port in self.ports)
        except (TypeError, NotImplementedError):
            return None

    @property
    def can_be_left(self) -> bool:
        """Whether waiting for frames can be given up, and the same frames be had again later."""
        return all(port.loader.can_be_left for port in self.ports)

    def close(self) -> None:
        """End the workers that live on from pass to pass."""
        for port in self.ports:
            port.loader.close()

    def state(self) -> dict[str, Any]:
        """What it takes, beside epoch and position, to give the frames of this epoch again."""
        return {port.name: port.loader.began_with for port in self.ports}

    def frames(
        self, epoch: int, skipped: int = 0, state: Mapping[str, Any] | None = None
    ) -> FramesOfEpoch:
        """Frames by port, for each batch of one epoch.

        Args:
            epoch: Counted from 0.
            skipped: So many batches of it were met already.
            state: What :meth:`state` gave in that epoch.
        """
        for port in self.ports:
            port.loader.start(epoch, skipped, (state or {}).get(port.name))
        return self._frames()

    def _frames(self) -> FramesOfEpoch:
        with ExitStack() as stack:
            sources = [
                (
                    port.name,
                    stack.enter_context(closing(_guarded(port))),
                    named(port.columns, port.source),
                    port.put,
                )
                for port in self.ports
            ]
            while True:
                result = {}
                for name, batches, frame_of, put in sources:
                    batch = next(batches, _END)
                    if batch is _END:
                        return
                    frame = frame_of(batch)
                    result[name] = frame if put is None else put(frame)
                yield result


_END = object()


def named(columns: Sequence[str] | None, source: str) -> Callable[[Any], dict[str, Any]]:
    """A function that names the columns of a batch.

    A batch that is a mapping keeps its names, and ``columns`` chooses among them.
    """

    def frame_of(batch: Any) -> dict[str, Any]:
        if isinstance(batch, Mapping):
            return dict(batch) if columns is None else _chosen(batch, columns, source)
        if isinstance(batch, torch.Tensor) or not isinstance(batch, (tuple, list)):
            batch = (batch,)
        if columns is None:
            return {f"input_{i}": column for i, column in enumerate(batch, start=1)}
        if len(columns) != len(batch):
            raise DataError(
                f'the batches of "{source}" have {len(batch)} columns, and variable_names gives '
                f"{len(columns)}: {listing(columns)}"
            )
        return dict(zip(columns, batch, strict=True))

    return frame_of


def _chosen(batch: Mapping[str, Any], columns: Sequence[str], source: str) -> dict[str, Any]:
    for column in columns:
        if column not in batch:
            raise DataError(
                f'the batches of "{source}" have the columns {listing(list(batch))}; '
                f'"{column}", which variable_names gives, is not among them'
            )
    return {column: batch[column] for column in columns}


def _guarded(port: Port) -> Generator[Any, None, None]:
    """The batches of a loader; what the user's code raises says which loader it was in."""
    try:
        yield from port.loader.batches()
    except UserError as error:
        raise _from_worker(error) from None
    except UserCodeError as error:
        blamed = _blamed_in_worker(error)
        raise blamed from blamed.__cause__
    except Exception as error:
        raise UserCodeError(f'the data of the loader factory "{port.source}"') from error


def _from_worker(error: UserError) -> UserError:
    """An error of ours that crossed from a worker arrives as a traceback; its last line counts."""
    text = str(error)
    if "Original Traceback" not in text:
        return error
    last = text.rstrip().splitlines()[-1]
    return type(error)(last.partition(": ")[2] or last)


_SEAM = "\n\nThe above exception was the direct cause of the following exception:\n"


def _blamed_in_worker(error: UserCodeError) -> UserCodeError:
    """The same for an error that says which part it was in: what caused it stands before that."""
    cause, seam, text = error.part.rpartition(_SEAM)
    if not seam:
        return error
    blamed = UserCodeError(text.rstrip().splitlines()[-1].partition(": ")[2])
    blamed.__cause__ = RuntimeError(cause)
    return blamed
