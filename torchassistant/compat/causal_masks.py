"""Private names of torch that its transformers are traced with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def causal_where_said() -> Iterator[None]:
    """Let ``nn.Transformer`` take a mask for a causal one only where it is told so, in here.

    It looks at the values of a mask otherwise, which cannot be traced, to choose a faster kernel
    with the same result.

    Private: ``torch.nn.modules.transformer._detect_is_causal_mask``, in torch 2.10 to 2.14.

    Without it: as torch does it; where that looks at values, it says so.
    """
    module, name = nn.modules.transformer, "_detect_is_causal_mask"
    before = vars(module).get(name)
    if before is None:
        yield
        return

    def is_causal(mask: Any, told: bool | None = None, size: int | None = None) -> bool:
        return told is True

    setattr(module, name, is_causal)
    try:
        yield
    finally:
        setattr(module, name, before)
