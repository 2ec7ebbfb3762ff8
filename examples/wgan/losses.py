"""What critic and generator minimise.

I. Gulrajani et al.: Improved Training of Wasserstein GANs. 2017. https://arxiv.org/abs/1704.00028
"""

from __future__ import annotations

from torch import Tensor


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """How much better generated images are rated than real ones: two ratings (B,) to a scalar."""
    return fake.mean() - real.mean()


def generator_loss(fake: Tensor) -> Tensor:
    """How badly generated images are rated: ratings (B,), to a scalar."""
    return -fake.mean()
