"""A dataset that speaks as a library in C does: past Python, to where 1 and 2 lead."""

from __future__ import annotations

import contextlib
import os

import torch
from toys import Points


class Chatty(Points):
    """Writes to both streams whenever an example is loaded."""

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        for handle in (1, 2):
            with contextlib.suppress(OSError):
                os.write(handle, b".")
        return super().__getitem__(index)
