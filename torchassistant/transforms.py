"""Transforms of losses and metrics: from the columns of a frame to the arguments of a function.

A config names one as ``"transform": "torchassistant.transforms.same_shape"``.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from torchassistant.collators import pad_column, stack_column
from torchassistant.earlier_names import answering_for
from torchassistant.errors import DataError

__getattr__ = answering_for(__name__)


def reverse_onehot(y_hat: Tensor, labels: Any) -> tuple[Tensor, Any]:
    """Turn scores into class numbers.

    Args:
        y_hat: Scores, or one-hot vectors (..., C).
        labels: Class numbers: a list of integers, or whatever the function takes.

    Returns:
        The places of the greatest scores, int64 (...), and the labels: an int64 tensor (B,) on the
        device of ``y_hat`` from a list of B integers, anything else as it is.

    Raises:
        DataError: ``y_hat`` is no tensor, or a label is beyond 64 bits.
    """
    _check_tensor("reverse_onehot", y_hat)
    if _are_integers(labels):
        labels = stack_column(labels).to(y_hat.device, torch.int64)
    return y_hat.argmax(dim=-1), labels


def _are_integers(values: Any) -> bool:
    return isinstance(values, tuple | list) and all(
        issubclass(kind, Integral) for kind in set(map(type, values))
    )


def pad_targets(
    y_hat: Tensor, targets: Sequence[Sequence[int] | Tensor] | Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Pad target sequences with 0, and tell by a mask what is no padding.

    The three are the arguments of ``torchassistant.losses.MaskedCrossEntropy``.

    Args:
        y_hat: Anything that is a tensor.
        targets: B sequences of integers, lists or tensors (T_i,), T_i varying, 0 included.

    Returns:
        ``y_hat`` as it is; the targets, int64 (B, T), T the greatest T_i; the mask, bool (B, T),
        true where a target is. Both are on the device of ``y_hat``.

    Raises:
        DataError: ``y_hat`` is no tensor, or the targets are not such sequences.
    """
    _check_tensor("pad_targets", y_hat)
    rows = list(targets)
    if not rows:
        raise DataError("pad_targets cannot pad a batch without targets")
    padded = pad_column(rows)
    if padded.ndim != 2 or padded.is_floating_point() or padded.is_complex():
        raise DataError(
            "pad_targets needs sequences of integers, found "
            f"{str(padded.dtype).removeprefix('torch.')} values of shape {tuple(padded.shape[2:])}"
        )
    lengths = torch.tensor([len(row) for row in rows], device=y_hat.device)
    mask = torch.arange(padded.shape[1], device=y_hat.device) < lengths[:, None]
    return y_hat, padded.to(y_hat.device, torch.int64), mask


def same_shape(y_hat: Tensor, target: Any) -> tuple[Tensor, Tensor]:
    """Bring the target to the shape, the floating dtype and the device of the prediction.

    For losses as MSELoss, which would spread (B,) against (B, 1) over (B, B), and
    BCEWithLogitsLoss, which takes no integers.

    Args:
        y_hat: A prediction (...).
        target: A tensor of that shape, but for dimensions of size 1, or a list of numbers; of any
            dtype.

    Returns:
        ``y_hat`` as it is; the elements of the target in their order, in the shape of ``y_hat``,
        and of its dtype if that is a floating one.

    Raises:
        DataError: ``y_hat`` is no tensor, the target cannot be one, or their shapes differ in more
            than dimensions of size 1.
    """
    _check_tensor("same_shape", y_hat)
    target = target if isinstance(target, Tensor) else stack_column(target)
    if [n for n in target.shape if n != 1] != [n for n in y_hat.shape if n != 1]:
        raise DataError(
            "same_shape needs a prediction and a target of one shape, dimensions of size 1 aside; "
            f"found shapes {tuple(y_hat.shape)} and {tuple(target.shape)}"
        )
    dtype = y_hat.dtype if y_hat.is_floating_point() else target.dtype
    return y_hat, target.reshape(y_hat.shape).to(y_hat.device, dtype)


def _check_tensor(owner: str, y_hat: Any) -> None:
    if not isinstance(y_hat, Tensor):
        raise DataError(f"{owner} needs a tensor as y_hat, found {type(y_hat).__name__}")
