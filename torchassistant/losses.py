"""Losses that torch does not have."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from torchassistant.errors import DataError

_IGNORED = -100
"""The target that torch's cross entropy leaves out by convention."""


class MaskedCrossEntropy(nn.Module):
    """Cross entropy between predicted scores and target classes, over sequences with padding.

    Args:
        padding_value: The target class that stands for padding; looked at only where there is no
            mask. None: without a mask every position counts.
        reduction: ``mean``, over the positions that count, or ``sum``.
        label_smoothing: How much of the target, 0 to 1, is spread evenly over all classes (C.
            Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016).

    Raises:
        ValueError: An argument is not one of these.
    """

    def __init__(
        self,
        padding_value: int | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        if reduction not in ("mean", "sum"):
            raise ValueError(f'reduction must be "mean" or "sum", found {reduction!r}')
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing must be from 0 to 1, found {label_smoothing}")
        self.padding_value = padding_value
        self.reduction = reduction
        self.label_smoothing = label_smoothing

    def forward(self, predictions: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
        """Compute the loss.

        Args:
            predictions: Scores before softmax, floating-point (B, T, C).
            targets: Class numbers, int64 (B, T).
            mask: bool (B, T), true where a position counts. Where it is false, the target may be
                any number. Without a mask, positions whose target is ``padding_value`` (and, as
                everywhere in torch, -100) do not count.

        Returns:
            A scalar tensor. 0, with gradients of 0, where no position counts.

        Raises:
            DataError: The shapes or dtypes are others.
        """
        _check_fit(predictions, targets, mask)
        targets = self._without_padding(targets, mask)
        total = cross_entropy(
            predictions.flatten(0, 1),
            targets.flatten(),
            ignore_index=_IGNORED,
            reduction="sum",
            label_smoothing=self.label_smoothing,
        )
        if self.reduction == "sum":
            return total
        # torch's own mean is NaN where nothing counts, and so would be all gradients.
        return total / (targets != _IGNORED).sum().clamp(min=1)

    def count(self, predictions: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
        """How many positions count: over so many the loss is a mean.

        Args:
            predictions: As in :meth:`forward`.
            targets: As in :meth:`forward`.
            mask: As in :meth:`forward`.

        Returns:
            A scalar tensor, int64.
        """
        _check_fit(predictions, targets, mask)
        return (self._without_padding(targets, mask) != _IGNORED).sum()

    def _without_padding(self, targets: Tensor, mask: Tensor | None) -> Tensor:
        if mask is not None:
            return targets.masked_fill(~mask.bool(), _IGNORED)
        if self.padding_value is not None:
            return targets.masked_fill(targets == self.padding_value, _IGNORED)
        return targets

    def extra_repr(self) -> str:
        """The arguments, for ``repr``."""
        return (
            f"padding_value={self.padding_value}, reduction={self.reduction!r}, "
            f"label_smoothing={self.label_smoothing}"
        )


def _check_fit(predictions: Tensor, targets: Tensor, mask: Tensor | None) -> None:
    if predictions.ndim != 3 or predictions.shape[:2] != targets.shape:
        raise DataError(
            "MaskedCrossEntropy needs predictions (batch, time, classes) and targets "
            f"(batch, time), found {tuple(predictions.shape)} and {tuple(targets.shape)}"
        )
    if mask is not None and mask.shape != targets.shape:
        raise DataError(
            "MaskedCrossEntropy needs a mask of the shape of the targets, "
            f"found {tuple(mask.shape)} and {tuple(targets.shape)}"
        )
    if targets.dtype != torch.int64:
        raise DataError(
            "MaskedCrossEntropy needs class numbers (int64) as targets, "
            f"found {str(targets.dtype).removeprefix('torch.')}"
        )
