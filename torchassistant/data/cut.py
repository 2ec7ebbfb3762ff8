"""Batches that are cut into contiguous parts, of which this process loads its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch

from torchassistant.data.batch_sampler import Batch, ResumableBatchSampler
from torchassistant.data.epoch_loader import CountedBatch, EpochLoader
from torchassistant.data.object_rngs import generators_in, seed_all
from torchassistant.data.rng import derived, seed_everything
from torchassistant.errors import DataError
from torchassistant.frames import Frame


class Cut(NamedTuple):
    """Into what a batch is cut.

    Args:
        parts: Into how many parts; their sizes differ by one at most, and the first are larger.
        own: The numbers of those that are loaded here.
        fills: Whether for a part without an example one is loaded that stands in for it.
    """

    parts: int
    own: range
    fills: bool = False

    def pieces_of(self, rows: int) -> list[slice]:
        """Of so many rows, those of each own part; none where there are too few."""
        return [slice(self._begin(part, rows), self._begin(part + 1, rows)) for part in self.own]

    def loaded_of(self, rows: int) -> list[slice]:
        """Of so many rows, those that are loaded for each own part: its own, or what stands in."""
        pieces = self.pieces_of(rows)
        if not (self.fills and rows):
            return pieces
        return [piece if piece.stop > piece.start else slice(0, 1) for piece in pieces]

    def _begin(self, part: int, rows: int) -> int:
        each, rest = divmod(rows, self.parts)
        return part * each + min(part, rest)


class CutBatchSampler(ResumableBatchSampler):
    """The own parts of each batch of another sampler, as batches; none for which nothing is loaded.

    Args:
        whole: Gives whole batches.
        cut: Into what these are cut.

    Attributes:
        sizes: Of each whole batch that was asked for, how many examples its own parts have.
    """

    def __init__(self, whole: ResumableBatchSampler, cut: Cut) -> None:
        super().__init__(whole.count, whole.batch_size, whole.drop_last, whole.seed)
        self.whole = whole
        self.cut = cut
        self.sizes: deque[list[int]] = deque()

    def __len__(self) -> int:
        return len(self.whole)

    def start(self, epoch: int, skipped: int) -> None:
        """See :class:`ResumableBatchSampler`."""
        super().start(epoch, skipped)
        self.whole.start(epoch, skipped)
        self.sizes.clear()

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.whole:
            for part, piece in self._noted(len(batch)):
                yield Batch(batch[piece], batch.epoch, batch.number, part)

    def tensors(self) -> Iterator[torch.Tensor]:
        """See :class:`ResumableBatchSampler`."""
        for indices in self.whole.tensors():
            for _, piece in self._noted(len(indices)):
                yield indices[piece]

    def _noted(self, rows: int) -> list[tuple[int, slice]]:
        self.sizes.append([piece.stop - piece.start for piece in self.cut.pieces_of(rows)])
        loaded = zip(self.cut.own, self.cut.loaded_of(rows), strict=True)
        return [(part, piece) for part, piece in loaded if piece.stop > piece.start]

    def examples_of(self, number: int) -> list[Any] | None:
        """Those of the whole batch."""
        return self.whole.examples_of(number)


class CutCollator:
    """Makes a batch of each own part of the examples of a stream, which every process reads whole.

    What is drawn at random for a part follows from what is drawn here for the whole batch.

    Args:
        collate: Examples → batch.
        cut: Into what the examples are cut.
        rng_holders: What may keep generators of its own.
    """

    def __init__(self, collate: Callable[[Any], Any], cut: Cut, rng_holders: Any) -> None:
        self.collate = collate
        self.cut = cut
        self.rng_holders = rng_holders

    def __call__(self, examples: Sequence[Any]) -> list[Any]:
        own = list(generators_in({"": self.rng_holders}).values())
        seed = int(torch.randint(2**62, ()))
        made = []
        rows = len(examples)
        pieces = zip(self.cut.pieces_of(rows), self.cut.loaded_of(rows), strict=True)
        for part, (piece, loaded) in zip(self.cut.own, pieces, strict=True):
            self._seed(own, derived(seed, part))
            batch = self.collate(examples[loaded]) if loaded.stop > loaded.start else EMPTY
            made.append(batch if piece.stop > piece.start else batch._replace(size=0))
        self._seed(own, derived(seed, "end"))
        return made

    @staticmethod
    def _seed(own: list[Any], seed: int) -> None:
        seed_everything(seed)
        seed_all(own, seed)


EMPTY = CountedBatch(None, 0)
"""What stands in the place of a part that has no example."""


class CutEpochLoader(EpochLoader):
    """Gives of each batch its own parts, one after the other, the empty ones too.

    Where the dataset gives whole batches by itself, it gives those, and their rows are to be cut.

    Args:
        cut: Into what batches are cut.
        args: See :class:`EpochLoader`.
    """

    def __init__(self, cut: Cut, *args: Any) -> None:
        super().__init__(*args)
        self.cut = cut
        self.gives_parts = self.loader.batch_size is not None or isinstance(
            self.loader.batch_sampler, CutBatchSampler
        )
        self.pieces = len(cut.own) if self.gives_parts else 1

    @property
    def can_be_left(self) -> bool:
        """Where all parts are loaded here: other processes are not left alone."""
        return len(self.cut.own) == self.cut.parts and super().can_be_left

    def batches(self) -> Iterator[tuple[Any, int | None]]:
        """See :class:`EpochLoader`."""
        if not self.gives_parts:
            yield from super().batches()
        elif self.batch_sampler is None:
            for parts in self._batches():
                yield from map(self._counted, parts)
        else:
            yield from self._of_sampler()

    def _of_sampler(self) -> Iterator[tuple[Any, int | None]]:
        sampler = self.batch_sampler
        assert isinstance(sampler, CutBatchSampler), "it was made for this"
        loaded = self._batches()
        while True:
            first = next(loaded, None)
            # Of smaller batches, no part may have been asked for here.
            while sampler.sizes and (first is None or not self._loads_any_of(sampler.sizes[0])):
                yield from ((None, 0) for _ in sampler.sizes.popleft())
            if first is None:
                return
            for size in sampler.sizes.popleft():
                if not size and not self.cut.fills:
                    yield None, 0
                    continue
                batch, first = (next(loaded), None) if first is None else (first, None)
                yield self._counted(CountedBatch(batch, size))

    def _loads_any_of(self, sizes: list[int]) -> bool:
        return self.cut.fills or any(sizes)

    def _watched(self, batches: Iterator[Any]) -> Iterator[Any]:
        # Own parts are no batches, and the whole ones are not counted here.
        return batches if self.batch_sampler is not None else super()._watched(batches)

    def _counted(self, counted: CountedBatch) -> tuple[Any, int | None]:
        batch, size = counted
        if self.count_in is not None and batch is not None and size != 0:
            return batch, int(self.count_in(batch))
        return batch, size


def cut_frame(frame: Frame, rows: int, cut: Cut, source: str) -> list[Frame]:
    """The own parts of a frame that was loaded whole.

    Args:
        frame: Each column is a tensor (B, …) or a list of B values; what is none of it is in every
            part.
        rows: B.
        cut: Into what it is cut.
        source: The name of the loader factory, for messages.

    Raises:
        DataError: A column has other than B rows.
    """
    for name, column in frame.items():
        if _has_rows(column) and len(column) != rows:
            raise DataError(
                f'the batches of "{source}", which its dataset gives whole, cannot be cut for '
                f'several processes: "{name}" has {len(column)} rows, and others have {rows}'
            )
    return [
        {name: value[piece] if _has_rows(value) else value for name, value in frame.items()}
        for piece in cut.loaded_of(rows)
    ]


def _has_rows(column: Any) -> bool:
    return isinstance(column, (list, tuple)) or (
        isinstance(column, torch.Tensor) and column.ndim > 0
    )
