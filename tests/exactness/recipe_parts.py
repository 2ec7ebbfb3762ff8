"""What the configs of the recipes name: losses and models of well-known programs, in small."""

from __future__ import annotations

from torch import Tensor


def wasserstein(of_fake: Tensor, of_real: Tensor) -> Tensor:
    """What a critic minimises, from its scores, float32 (B, 1) each."""
    return of_fake.mean() - of_real.mean()


def minus_mean(of_fake: Tensor) -> Tensor:
    """What a generator minimises, from the critic's scores, float32 (B, 1)."""
    return -of_fake.mean()
