"""Feeds the ports of a batch graph with the own parts of each batch, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from torchassistant.data.cut import Cut, cut_frame
from torchassistant.data.multi_loader import FramesOfEpoch, MultiLoader, Source
from torchassistant.errors import DataError
from torchassistant.frames import Frames


class CutMultiLoader(MultiLoader):
    """Frames as of a :class:`MultiLoader`, several for each batch: one for each own part of it.

    A part without examples has counts of 0, and frames without columns, or with those of what
    stands in for it.

    Args:
        cut: Into what batches are cut; loaders cut theirs as far as they can.
        args: See :class:`MultiLoader`.
    """

    def __init__(self, cut: Cut, *args: Any) -> None:
        super().__init__(*args)
        self.cut = cut

    def _frames(self, number: int) -> FramesOfEpoch:
        by_name = {port.name: port for port in self.ports}
        with ExitStack() as stack:
            sources = self._sources(stack)
            needs_rows = any(port.loader.origin.is_stream for port in self.ports)
            while self.limit is None or number < self.limit:
                parts = [Frames() for _ in self.cut.own]
                for source in sources:
                    are_cut = by_name[source[0]].loader.gives_parts
                    read = self._read_parts if are_cut else self._read_whole
                    if not read(parts, source, number):
                        return
                for frames in parts:
                    self._expect_all_or_none(frames)
                    if needs_rows and frames:
                        needs_rows = self._add_first_rows(frames)
                yield from parts
                number += 1

    def _read_parts(self, parts: Sequence[Frames], source: Source, number: int) -> bool:
        for frames in parts:
            counted = next(source[2], None)
            if counted is None:
                return False
            batch, count = counted
            if batch is not None:
                self._add(frames, source, batch, count, number)
            if count == 0:
                frames.counts[source[0]] = 0
        return True

    def _read_whole(self, parts: Sequence[Frames], source: Source, number: int) -> bool:
        counted = next(source[2], None)
        if counted is None:
            return False
        whole, (name, factory, *_) = Frames(), source
        self._add(whole, source, *counted, number)
        rows = whole.counts[name]
        cut = cut_frame(whole[name], rows, self.cut, factory)
        for frames, frame, piece in zip(parts, cut, self.cut.pieces_of(rows), strict=True):
            frames.counts[name] = piece.stop - piece.start
            if frames.counts[name] or self.cut.fills:
                frames[name] = frame
        return True

    def _expect_all_or_none(self, frames: Frames) -> None:
        """See that no port of a part is empty while another is not.

        Raises:
            DataError: One is.
        """
        counts = frames.counts.values()
        if 0 in counts and any(counts):
            empty = next(name for name, count in frames.counts.items() if not count)
            raise DataError(
                f'a batch of the port "{empty}" has fewer examples than the {self.cut.parts} parts '
                'that batches are cut into, and those of other ports have more; "drop_last" '
                "leaves out a smaller last batch"
            )
