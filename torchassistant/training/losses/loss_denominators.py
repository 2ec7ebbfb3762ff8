"""Over what a loss is a mean, so that batches of unequal counts can be averaged as one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

Count = float | Tensor

_BY_CLASS = (nn.CrossEntropyLoss, nn.NLLLoss)
_BY_ELEMENT = (
    nn.MSELoss,
    nn.L1Loss,
    nn.SmoothL1Loss,
    nn.HuberLoss,
    nn.BCELoss,
    nn.BCEWithLogitsLoss,
    nn.GaussianNLLLoss,
    nn.PoissonNLLLoss,
    nn.SoftMarginLoss,
)


def is_sum(function: Any) -> bool:
    """Whether a loss is a sum over samples already."""
    return getattr(function, "reduction", "mean") == "sum"


def counts_samples(function: Any) -> bool:
    """Whether a loss is a mean over samples, as far as anybody says."""
    return not (states_terms(function) or isinstance(function, _BY_ELEMENT))


def as_sum(function: Any) -> Any | None:
    """The same loss without the division; None where it is not known how it is had.

    Such a loss has a gradient also where a batch has nothing that counts. Whether code of the user
    looks at a ``reduction`` that it has, nobody knows: its mean is multiplied.
    """
    if type(function) in _BY_CLASS:
        summed = copy.copy(function)
        summed.reduction = "sum"
        return summed
    return None


def states_terms(function: Any) -> bool:
    """Whether a loss is a mean over terms of its own, that may be more or fewer for each sample.

    Cross entropy has the targets that are not ignored, each with the weight of its class; a loss
    with a method ``count`` has what that gives. Elements are not meant: a mean over them is taken
    for one over samples wherever means of batches are joined in the history.
    """
    return isinstance(function, _BY_CLASS) or _says(function)


def rarely_counts_samples(function: Any) -> bool:
    """Whether a loss is a mean over terms that are hardly ever as many as the samples.

    Cross entropy without weights counts a target for each sample, where none is ignored.
    """
    return _says(function) or (isinstance(function, _BY_CLASS) and function.weight is not None)


def terms_of(function: Any, arguments: Sequence[Any], samples: int) -> Count:
    """Over how many terms a loss is a mean, for these arguments; stays on their device.

    A loss that averages over something else than samples says over how many by a method ``count``,
    which is called with the arguments of the loss.

    Args:
        function: The loss.
        arguments: What it is called with.
        samples: The number of samples in the batch.
    """
    if _says(function):
        return function.count(*arguments)
    if isinstance(function, _BY_CLASS):
        return _of_classes(function, arguments[0], arguments[1])
    if isinstance(function, _BY_ELEMENT):
        one, other = arguments[0].shape, arguments[1].shape
        return (one if one == other else torch.broadcast_shapes(one, other)).numel()
    return samples


def or_one(terms: Count) -> Count:
    """What a sum over terms is divided by; where nothing counts, that is 1, and the sum is 0."""
    return terms.where(terms != 0, 1) if isinstance(terms, Tensor) else terms or 1


def times(mean: Tensor, terms: Count) -> Tensor:
    """The sum over terms; 0 where nothing counts, whatever a mean over nothing is.

    Its gradient may be NaN even so, as that of a division by 0 is.
    """
    if isinstance(terms, Tensor):
        return torch.where(terms.to(mean.device) != 0, mean * terms, 0.0)
    return mean * terms if terms else (mean * 0).nan_to_num(0.0)


def _says(function: Any) -> bool:
    return callable(getattr(function, "count", None))


def _of_classes(function: Any, scores: Tensor, targets: Tensor) -> Count:
    if targets.is_floating_point():  # probabilities of all classes
        return targets.numel() // targets.shape[1 if targets.ndim > 1 else 0]
    counts = targets != function.ignore_index
    if function.weight is None:
        return counts.sum()
    weights = function.weight[targets.masked_fill(~counts, 0)]
    return (weights * counts).sum()
