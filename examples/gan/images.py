"""Enlarges the images of a result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from torch.nn.functional import interpolate


def enlarging(session: Any, factor: int) -> Callable[[Mapping[str, Tensor]], Tensor]:
    """Makes the function that enlarges the column ``image``, a square for each pixel.

    It fits where a class would not: a debug pipeline builds its postprocessor from the config
    alone, inference gives it the session first, and both give it to a function.

    Args:
        session: What is trained; there is no use for it.
        factor: How many times as high and as wide the images become.

    Returns:
        A function from columns, with ``image`` float32 (B, 1, H, W), to images, float32
        (B, 1, factor H, factor W).
    """
    return lambda columns: interpolate(columns["image"], scale_factor=factor, mode="nearest")
