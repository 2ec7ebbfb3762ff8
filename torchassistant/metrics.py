"""Metrics: update with batches, compute over all of them, reset.

What is counted stays a tensor on the device of the data until ``compute`` is read, so an update
never waits for an accelerator. Before the first update ``compute`` gives NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from torchassistant.errors import DataError


class Accuracy:
    """The share of equal elements between predictions and targets.

    Without arguments it is just that. With arguments (``task="multiclass", num_classes=10``) it is
    ``torchmetrics.Accuracy`` with these arguments, and an object of torchmetrics is what one gets.
    """

    better = "max"

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Make one of the two."""
        # A subclass has arguments of its own.
        if cls is not Accuracy or not (args or kwargs):
            return super().__new__(cls)
        import torchmetrics

        return torchmetrics.Accuracy(*args, **kwargs)

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all updates."""
        self._equal: Tensor | int = 0
        self._total = 0

    def update(self, predictions: Tensor | Sequence[Any], targets: Tensor | Sequence[Any]) -> None:
        """Count the equal elements of a batch.

        Args:
            predictions: A tensor of any shape and dtype, or a list.
            targets: A tensor of the same shape, or a list of the same length.

        Raises:
            DataError: They differ in shape or length.
        """
        if isinstance(predictions, Tensor) or isinstance(targets, Tensor):
            predictions, targets = _as_tensors(predictions, targets)
            _check_same_shape("Accuracy", predictions, targets)
            self._equal = self._equal + (predictions == targets).sum()
            self._total += targets.numel()
            return
        if len(predictions) != len(targets):
            raise DataError(
                "Accuracy needs as many predictions as targets, "
                f"found {len(predictions)} and {len(targets)}"
            )
        # Lists may hold anything that can be compared, texts for instance.
        self._equal = self._equal + sum(
            bool(one == other) for one, other in zip(predictions, targets, strict=True)
        )
        self._total += len(targets)

    def compute(self) -> Tensor:
        """The share, 0 to 1, a float scalar; NaN without elements."""
        return _share(self._equal, self._total)


class SequenceAccuracy:
    """The share of sequences that are predicted wholly right.

    Args:
        padding_value: Positions where the target is this are ignored. None: no position is.
        end_value: What ends a sequence. Whatever stands behind its first place, in the prediction
            or in the target, is ignored, and the two may differ in length; a sequence without it
            ends with its length. None: sequences have no end, and the lengths must be the same.
    """

    better = "max"

    def __init__(self, padding_value: int | None = None, end_value: int | None = None) -> None:
        self.padding_value = padding_value
        self.end_value = end_value
        self.reset()

    def reset(self) -> None:
        """Forget all updates."""
        self._equal: Tensor | int = 0
        self._total = 0

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Count the sequences of a batch that are right.

        Args:
            predictions: Integers (B, T).
            targets: Integers (B, S); S is T unless there is an ``end_value``.

        Raises:
            DataError: The shapes are others.
        """
        predictions, targets = _as_tensors(predictions, targets)
        if predictions.ndim != 2 or targets.ndim != 2 or len(predictions) != len(targets):
            raise DataError(
                "SequenceAccuracy needs predictions (batch, time) and targets (batch, time), "
                f"found {tuple(predictions.shape)} and {tuple(targets.shape)}"
            )
        if self.end_value is None:
            if predictions.shape != targets.shape:
                raise DataError(
                    f"SequenceAccuracy without end_value needs sequences of the same length, "
                    f"found {tuple(predictions.shape)} and {tuple(targets.shape)}"
                )
            right = predictions == targets
        else:
            right, targets = self._right_until_end(predictions, targets, self.end_value)
        # Where padding and end are the same, the end has already told what is padding.
        if self.padding_value is not None and self.padding_value != self.end_value:
            right = right | (targets == self.padding_value)
        self._equal = self._equal + right.all(dim=1).sum()
        self._total += len(targets)

    @staticmethod
    def _right_until_end(predictions: Tensor, targets: Tensor, end: int) -> tuple[Tensor, Tensor]:
        """Which positions agree, bool (B, L), and the targets (B, L), L the greater length.

        From its end, or its length, on a sequence is over; two agree where both are over. Where
        only one is, they differ at the place of its end at the latest.
        """
        length = max(predictions.shape[1], targets.shape[1])
        # A sequence without end gets one behind its length; behind an end it changes nothing.
        predictions = pad(predictions, (0, length - predictions.shape[1]), value=end)
        targets = pad(targets, (0, length - targets.shape[1]), value=end)
        both_over = _from_first(predictions, end) & _from_first(targets, end)
        return (predictions == targets) | both_over, targets

    def compute(self) -> Tensor:
        """The share, 0 to 1, a float scalar; NaN without sequences."""
        return _share(self._equal, self._total)


class MeanValue:
    """The mean of all the values that it is given: of every element of every tensor."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all updates."""
        self._sum: Tensor | float = 0.0
        self._total = 0

    def update(self, value: Tensor | float | Sequence[float]) -> None:
        """Take in a number, a list of numbers, or a tensor of any shape."""
        tensor = value.detach() if isinstance(value, Tensor) else torch.as_tensor(value)
        # In float64 the small values of late batches do not vanish in the sum of an epoch.
        self._sum = self._sum + tensor.sum(dtype=_wide(tensor))
        self._total += tensor.numel()

    def compute(self) -> Tensor:
        """The mean, a float scalar; NaN without values."""
        return _share(self._sum, self._total)


def _as_tensors(*values: Tensor | Sequence[Any]) -> list[Tensor]:
    """All as tensors on the device of the first that is one."""
    device = next((value.device for value in values if isinstance(value, Tensor)), None)
    try:
        return [torch.as_tensor(value, device=device) for value in values]
    except (TypeError, ValueError) as error:
        raise DataError(f"predictions and targets must be tensors here: {error}") from error


def _check_same_shape(owner: str, predictions: Tensor, targets: Tensor) -> None:
    if predictions.shape != targets.shape:
        raise DataError(
            f"{owner} needs predictions and targets of the same shape, "
            f"found {tuple(predictions.shape)} and {tuple(targets.shape)}"
        )


def _from_first(sequences: Tensor, value: int) -> Tensor:
    """Bool (B, T): true from the first place of the value in its row of (B, T) on."""
    return (sequences == value).cumsum(dim=1) > 0


def _share(part: Tensor | float, total: int) -> Tensor:
    if not total:
        return torch.tensor(torch.nan)
    part = torch.as_tensor(part)
    return part.to(_wide(part)) / total


def _wide(tensor: Tensor) -> torch.dtype:
    """The widest float of the tensor's device: shares read as people would write them."""
    return torch.float32 if tensor.device.type == "mps" else torch.float64
