"""From the scores of a network to digits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def best_and_label(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """What the accuracy compares: for each row of ``scores`` (B, 10) the best class, and labels.

    Returns:
        Two int64 tensors (B,).
    """
    return scores.argmax(dim=-1), labels


class BestDigit:
    """Post-processor of inference: the digit with the highest score.

    Args:
        session: What is trained; every post-processor is given it, this one has no use for it.
    """

    def __init__(self, session: Any) -> None:
        pass

    def __call__(self, columns: Mapping[str, Tensor]) -> int:
        """The digit for one image, whose column ``scores`` is (1, 10)."""
        return int(columns["scores"].argmax())
