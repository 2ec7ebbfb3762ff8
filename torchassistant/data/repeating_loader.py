"""The same few batches, pass after pass."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from torchassistant.data.cut_multi_loader import CutMultiLoader
from torchassistant.data.multi_loader import FramesOfEpoch, MultiLoader
from torchassistant.frames import Frames


class RepeatingLoader(MultiLoader):
    """Frames as of a :class:`MultiLoader`; from the second pass on those of the first, to the bit.

    They are kept in memory, as they were before anything was computed with them.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._kept: list[Frames] = []

    def frames(
        self, epoch: int, skipped: int = 0, state: Mapping[str, Any] | None = None
    ) -> FramesOfEpoch:
        """See :meth:`MultiLoader.frames`."""
        if self._kept:
            return self._again(skipped)
        return self._keeping(super().frames(epoch))

    def _keeping(self, first: FramesOfEpoch) -> FramesOfEpoch:
        with closing(first):
            for frames in first:
                self._kept.append(_copied(frames))
                yield frames

    def _again(self, skipped: int) -> FramesOfEpoch:
        for frames in self._kept[skipped:]:
            yield _copied(frames)


class RepeatingCutLoader(RepeatingLoader, CutMultiLoader):
    """The same, of batches that are cut; see :class:`CutMultiLoader`."""


def _copied(frames: Frames) -> Frames:
    """A model may change its inputs in place."""
    return copy.deepcopy(frames)
