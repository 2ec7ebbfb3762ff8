"""Losses that torch does not have."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax, mse_loss, softmax

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


class KLDistillation(nn.Module):
    """How far a student's class probabilities are from those of its teacher.

    The Kullback-Leibler divergence between both, softened by a temperature, averaged over the
    samples and multiplied by the squared temperature, so that gradients keep their scale (G. Hinton
    et al., "Distilling the Knowledge in a Neural Network", 2015).

    Args:
        temperature: Scores are divided by it before softmax; greater than 0.

    Raises:
        ValueError: The temperature is not.
    """

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature must be greater than 0, found {temperature}")
        self.temperature = temperature

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            student: Scores before softmax, floating-point (B, C, ...).
            teacher: Likewise, of the same shape; no gradient flows to it.

        Returns:
            A scalar tensor.

        Raises:
            DataError: The shapes differ, or there is no dimension of classes.
        """
        if student.ndim < 2 or student.shape != teacher.shape:
            raise DataError(
                "KLDistillation needs scores (batch, classes, ...) of one shape from student and "
                f"teacher, found {tuple(student.shape)} and {tuple(teacher.shape)}"
            )
        found = log_softmax(student / self.temperature, 1)
        target = softmax(teacher.detach() / self.temperature, 1)
        return kl_div(found, target, reduction="batchmean") * self.temperature**2

    def extra_repr(self) -> str:
        """The arguments, for ``repr``."""
        return f"temperature={self.temperature}"


class GradientPenalty(nn.Module):
    """How far a critic's gradient is from the length 1, between real and generated samples.

    It is what keeps the critic of a WGAN-GP nearly 1-Lipschitz (I. Gulrajani et al., "Improved
    Training of Wasserstein GANs", NeurIPS 2017). ``"models": ["critic"]`` in its definition names
    the critic.
    """

    needs_grad = True

    def forward(self, model: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        """Compute the penalty.

        Args:
            model: The critic: from samples to scores, a tensor with one or more for each.
            real: Samples of the data, floating-point (B, C, ...).
            fake: Generated ones, of the same shape; to neither flows a gradient.

        Returns:
            A scalar tensor: the mean of (‖∇‖ - 1)² over the batch. ∇ is the gradient of the scores
            with respect to e · real + (1 - e) · fake, where e is drawn evenly from 0 to 1 for each
            sample.

        Raises:
            DataError: The shapes differ, or the critic gives no tensor.
        """
        if real.shape != fake.shape or real.ndim < 2:
            raise DataError(
                "GradientPenalty needs real and generated samples (batch, ...) of one shape, found "
                f"{tuple(real.shape)} and {tuple(fake.shape)}"
            )
        real, fake = real.detach(), fake.detach()
        share = torch.rand(len(real), *[1] * (real.ndim - 1), dtype=real.dtype, device=real.device)
        between = (share * real + (1 - share) * fake).requires_grad_()
        scores = model(between)
        if not isinstance(scores, Tensor):
            raise DataError(
                f"GradientPenalty needs a critic that gives a tensor, found {type(scores).__name__}"
            )
        (gradient,) = torch.autograd.grad(
            scores, between, torch.ones_like(scores), create_graph=True
        )
        return ((gradient.flatten(1).norm(2, dim=1) - 1) ** 2).mean()


class FeatureMatching(nn.Module):
    """The mean squared error between features of a student and of its teacher (A. Romero et al.,
    "FitNets: Hints for Thin Deep Nets", ICLR 2015).
    """

    def forward(
        self, student: Tensor | Sequence[Tensor], teacher: Tensor | Sequence[Tensor]
    ) -> Tensor:
        """Compute the loss.

        Args:
            student: Features of any shape, floating-point; or several of them.
            teacher: Likewise, as many, each of the shape of its partner; no gradient flows to it.

        Returns:
            A scalar tensor; with several, the sum over the pairs.

        Raises:
            DataError: The shapes differ, or there are not as many of one as of the other, or none.
        """
        own = [student] if isinstance(student, Tensor) else list(student)
        others = [teacher] if isinstance(teacher, Tensor) else list(teacher)
        if not own or len(own) != len(others):
            raise DataError(
                "FeatureMatching needs as many features of the teacher as of the student, found "
                f"{len(others)} and {len(own)}"
            )
        first, *more = map(_mean_squared_error, own, others)
        return sum(more, first)


def _mean_squared_error(student: Tensor, teacher: Tensor) -> Tensor:
    if student.shape != teacher.shape:
        raise DataError(
            "FeatureMatching needs features of one shape from student and teacher, "
            f"found {tuple(student.shape)} and {tuple(teacher.shape)}"
        )
    return mse_loss(student, teacher.detach())


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
