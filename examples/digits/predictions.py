"""What the accuracy of the digits compares."""

from __future__ import annotations

from torch import Tensor


def best_and_label(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """What the accuracy compares: for each row of ``scores`` (B, 10) the best class, and labels.

    Returns:
        Two int64 tensors (B,).
    """
    return scores.argmax(dim=-1), labels
