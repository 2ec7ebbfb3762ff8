"""Batch processors without a network: from a data frame to a data frame."""

from __future__ import annotations

from torch import Tensor

from torchassistant.frames import Frame


class DetachBatch:
    """Cuts a frame off from what computed it, so that no gradient flows back through it."""

    def __call__(self, frame: Frame) -> Frame:
        """A frame of the same columns with every tensor detached; lists are left as they are."""
        return {
            name: value.detach() if isinstance(value, Tensor) else value
            for name, value in frame.items()
        }
