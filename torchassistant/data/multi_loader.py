"""Feeds the ports of a batch graph: loaders give batches, batches become data frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import islice
from typing import Any

import torch

from torchassistant.data.batch_errors import mismatched_example, shown_indices
from torchassistant.data.loader_errors import guarded
from torchassistant.data.mismatch import Mismatch, find_mismatch
from torchassistant.data.port import Port
from torchassistant.data.restarting_port import RestartingPort
from torchassistant.errors import DataError, UserCodeError, UserError, cause_of, listing
from torchassistant.frames import Frame, Frames, examples_left, rows_of
from torchassistant.ownership import is_from_users_code

FramesOfEpoch = Generator[Frames, None, None]
"""Frames by port, batch after batch; closing it ends what loads the data."""

Source = tuple[
    str,
    str,
    Generator[tuple[Any, int | None], None, None],
    Callable[[Any], Frame],
    Callable[[Frame], Frame] | None,
    bool,
]
"""Of a port: its name, that of its loader factory, what gives batches, what makes frames of them,
what brings those to where they belong, and whether a collator may leave examples out.
"""


class MultiLoader:
    """Frames for every port of a graph, batch after batch; the shortest loader ends the pass.

    ``has_changed`` is set where a batch has examples of another shape than the one before it, in a
    column where that is rare; it stays so until somebody puts it back.

    Args:
        ports: In the order in which their loaders are asked.
        batch_loaded: Called with each batch, and the name of the loader factory that gave it.
        limit: So many batches of a pass are all that there are; None gives every one.
    """

    def __init__(
        self,
        ports: Sequence[Port],
        batch_loaded: Sequence[Callable[[str, Any], None]] = (),
        limit: int | None = None,
    ) -> None:
        self.ports = ports
        self.limit = limit
        self.restarting = {port.name: RestartingPort(port) for port in ports if port.restarts}
        self.batch_loaded = batch_loaded
        # What streams gave first, to compare with; other datasets can be asked again.
        self.first_rows: dict[str, list[Any]] = {}
        self.has_changed = False
        # Rows of a table have one shape.
        self.shapes = {port.name: _Shapes() for port in ports if port.loader.columns is None}

    def length(self) -> int | None:
        """The number of batches in one pass, as far as what the data says is true; None where a
        dataset or sampler does not say.

        It is for progress bars alone, and so nothing has to end where it cannot be had.
        """
        try:
            return self._limited(min(len(port.loader) for port in self.ports if not port.restarts))
        except Exception:  # __len__ may be code of the user
            return None

    def known_length(self) -> int | None:
        """The number of batches in one pass; None where that is known only when it is over."""
        loaders = [port.loader for port in self.ports if not port.restarts]
        if not loaders:
            return None
        is_known = all(loader.claimed_length is None for loader in loaders)
        return self._limited(min(map(len, loaders))) if is_known else None

    def _limited(self, length: int) -> int:
        return length if self.limit is None else min(length, self.limit)

    @property
    def can_be_left(self) -> bool:
        """Whether waiting for frames can be given up, and the same frames be had again later."""
        return all(port.loader.can_be_left for port in self.ports)

    def close(self) -> None:
        """End the workers that live on from pass to pass."""
        for port in self.ports:
            port.loader.close()

    def state(self, done: int) -> dict[str, Any]:
        """What it takes, beside epoch and position, to give the frames of this epoch again.

        Args:
            done: So many batches of it are done.
        """
        return {
            port.name: self.restarting[port.name].state(done)
            if port.restarts
            else port.loader.began_with
            for port in self.ports
        }

    def frames(
        self, epoch: int, skipped: int = 0, state: Mapping[str, Any] | None = None
    ) -> FramesOfEpoch:
        """Frames by port, for each batch of one epoch.

        Args:
            epoch: Counted from 0.
            skipped: So many batches of it are done already.
            state: What :meth:`state` gave in that epoch.
        """
        for port in self.ports:
            begun: Any = self.restarting[port.name] if port.restarts else port.loader
            begun.start(epoch, skipped, (state or {}).get(port.name))
        return self._frames(skipped)

    def explained(
        self,
        error: Exception,
        numbers: Sequence[int],
        frames: Mapping[str, Any],
        tells_batch: bool = True,
    ) -> Exception:
        """An error over some batches, or the example that is to blame for it.

        Args:
            error: What a model, a loss, a metric has raised.
            numbers: Of the batches, in their epoch.
            frames: The last of them, by port.
            tells_batch: Whether an error in which no code of the user was running, as of a loss of
                torch, gets the batch that it was raised for.

        Returns:
            A ``DataError`` where an example of theirs is not like the others of its dataset, or
            where a library could not compute them; else the error.
        """
        for number in numbers:
            for port in self.ports:
                mismatch = self._mismatched_example(port, number, frames.get(port.name, {}))
                if mismatch is not None and (mismatch.stacks or mismatch.is_alone):
                    return DataError(
                        f"{mismatch.text} (nothing could be computed of it: {_said(error)})"
                    )
        if not (tells_batch and self.ports) or not isinstance(error, UserCodeError):
            return error
        cause = cause_of(error)
        if is_from_users_code(cause):
            return error
        batches = " and ".join(self._shown(port, numbers) for port in self.ports)
        return DataError(f"{error.part}, for {batches}: {type(cause).__name__}: {_said(error)}")

    def _mismatched_example(
        self, port: Port, number: int, frame: Mapping[str, Any]
    ) -> Mismatch | None:
        origin = port.loader.origin
        if not origin.is_stream:
            indices = self.examples_of(port, number)
            return mismatched_example(origin, indices, port.columns) if indices else None
        rows = list(_rows_of(frame))
        mismatch = find_mismatch(rows, self.first_rows.get(port.name, ()), list(frame))
        if mismatch is None:
            return None
        where = f'example {mismatch.row} of batch {number} of the dataset "{port.dataset}"'
        return mismatch._replace(text=f"{where} {mismatch.text}")

    def _add_first_rows(self, frames: Mapping[str, Any]) -> bool:
        """Add rows of streams to compare with; gives whether there are too few of them yet."""
        needs_rows = False
        for port in self.ports:
            if port.loader.origin.is_stream:
                rows_so_far = self.first_rows.setdefault(port.name, [])
                rows = islice(_rows_of(frames[port.name]), _MOST_FIRST - len(rows_so_far))
                rows_so_far += [{name: _own(value) for name, value in row.items()} for row in rows]
                needs_rows = needs_rows or len(rows_so_far) < _MOST_FIRST
        return needs_rows

    def _misnamed(self, error: DataError, name: str, number: int) -> DataError:
        """A batch that has other columns than it should, or the example that is to blame."""
        port = next(port for port in self.ports if port.name == name)
        indices = self.examples_of(port, number)
        if indices:
            mismatch = mismatched_example(port.loader.origin, indices, port.columns)
            return error if mismatch is None else DataError(mismatch.text)
        if not number:
            return error
        where = f'batch {number} of the dataset "{port.dataset}"'
        return DataError(f"{where} is not like those before it: {error}")

    def examples_of(self, port: Port, number: int) -> list[Any] | None:
        """The indices of the examples of a batch of this epoch, where they are known."""
        if port.restarts:
            return self.restarting[port.name].examples_of(number)
        return port.loader.examples_of(number)

    def indices_of(self, number: int, count: int, done: int) -> list[Any]:
        """The indices in their dataset of the examples of a batch of this epoch.

        Args:
            number: Of the batch.
            count: So many examples are in it.
            done: So many were in those before: of a stream, the examples are counted.
        """
        for port in self.ports:
            found = self.examples_of(port, number)
            if found is not None and len(found) == count:
                return [port.loader.origin.index_in_whole(index) for index in found]
        return list(range(done, done + count))

    def _shown(self, port: Port, numbers: Sequence[int]) -> str:
        """What a port was fed with in some batches, in words."""
        origin = port.loader.origin
        if not origin.is_stream:
            found = [self.examples_of(port, number) for number in numbers]
            indices = [index for some in found for index in some or ()]
            if indices:
                return shown_indices(origin, indices).removeprefix("one of ")
        return f'batch {numbers[-1]} of the dataset "{port.dataset}"'

    def _batches(self, port: Port) -> Generator[tuple[Any, int | None], None, None]:
        return self.restarting[port.name].batches() if port.restarts else guarded(port)

    def _sources(self, stack: ExitStack) -> list[Source]:
        """What gives the batches of each port, until the stack is left."""
        return [
            (
                port.name,
                port.source,
                stack.enter_context(closing(self._batches(port))),
                named(port.columns, port.source, port.dropped),
                port.put,
                port.loader.may_leave_out,
            )
            for port in self.ports
        ]

    def _frames(self, number: int) -> FramesOfEpoch:
        with ExitStack() as stack:
            sources = self._sources(stack)
            needs_rows = any(port.loader.origin.is_stream for port in self.ports)
            while self.limit is None or number < self.limit:
                result = Frames()
                for source in sources:
                    counted = next(source[2], None)
                    if counted is None:
                        return
                    self._add(result, source, *counted, number)
                if needs_rows:
                    needs_rows = self._add_first_rows(result)
                yield result
                number += 1

    def _add(
        self, result: Frames, source: Source, batch: Any, count: int | None, number: int
    ) -> None:
        """Add the frame of a port, made of a batch that was loaded for it."""
        name, factory, _, frame_of, put, may_leave_out = source
        for listen in self.batch_loaded:
            listen(factory, batch)
        try:
            frame = frame_of(batch)
        except DataError as error:
            raise self._misnamed(error, name, number) from None
        shapes = self.shapes.get(name)
        if shapes is not None and shapes.change(frame):
            self.has_changed = True
        if count is None:
            count = rows_of(frame)
            result.is_guessed = True
        elif may_leave_out:
            count = examples_left(frame, count)
        result.counts[name] = count
        result[name] = frame if put is None else put(frame)


def _said(error: Exception) -> str:
    """The first sentence of what was raised, wherever it was."""
    if isinstance(error, UserError) and error.problems:
        text = error.problems[0].message
    else:
        cause = cause_of(error)
        text = str(cause).strip() or type(cause).__name__
    return text.splitlines()[0].partition(". ")[0]


_MOST_FIRST = 24
_MOST_CHANGES = 3


class _Shapes:
    """The shapes of the examples, column by column, until it shows that they vary."""

    def __init__(self) -> None:
        self.known: dict[str, torch.Size] | None = None
        self.changes: Counter[str] = Counter()

    def change(self, frame: Mapping[str, Any]) -> bool:
        """Whether a batch has other shapes than the one before it, in columns that hardly vary."""
        if self.known is None:
            self.known = {k: v.shape[1:] for k, v in frame.items() if _is_stacked(v)}
            return False
        changed = [
            name
            for name, shape in self.known.items()
            if _is_stacked(frame.get(name)) and frame[name].shape[1:] != shape
        ]
        for name in changed:
            self.changes[name] += 1
            if self.changes[name] < _MOST_CHANGES:
                self.known[name] = frame[name].shape[1:]
            else:
                del self.known[name]
        return bool(changed)


def _is_stacked(value: Any) -> bool:
    return type(value) is torch.Tensor


def _rows_of(frame: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of a frame, of the columns that have as many as most."""
    sizes = [len(column) for column in frame.values() if _has_rows(column)]
    count = max(sizes, key=sizes.count, default=0)
    columns = {k: v for k, v in frame.items() if _has_rows(v) and len(v) == count}
    for row in range(count):
        yield {name: column[row] for name, column in columns.items()}


def _has_rows(column: Any) -> bool:
    return isinstance(column, list) or (isinstance(column, torch.Tensor) and column.ndim > 0)


def _own(value: Any) -> Any:
    """A value that keeps no batch in memory."""
    return value.clone() if isinstance(value, torch.Tensor) else value


def named(
    columns: Sequence[str] | None, source: str, dropped: frozenset[str] = frozenset()
) -> Callable[[Any], Frame]:
    """A function that names the columns of a batch.

    A batch that is a mapping keeps its names, and ``columns`` chooses among them.

    Args:
        columns: The names; None numbers the columns.
        source: The name of the loader factory, for messages.
        dropped: Names of columns that are left out.
    """
    kept = None if columns is None else [name for name in columns if name not in dropped]

    def frame_of(batch: Any) -> Frame:
        if isinstance(batch, Mapping):
            return dict(batch) if kept is None else _chosen(batch, kept, source)
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

    if columns is None or kept is None or len(kept) == len(columns):
        return frame_of

    def frame_without(batch: Any) -> Frame:
        frame = frame_of(batch)
        return {name: frame[name] for name in kept}

    return frame_without


def _chosen(batch: Mapping[str, Any], columns: Sequence[str], source: str) -> Frame:
    for column in columns:
        if column not in batch:
            raise DataError(
                f'the batches of "{source}" have the columns {listing(list(batch))}; '
                f'"{column}", which variable_names gives, is not among them'
            )
    return {column: batch[column] for column in columns}
