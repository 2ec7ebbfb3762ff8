"""What the generator minimises."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def found_out(realness: Tensor) -> Tensor:
    """How far generated images are from being taken for real: logits, float32 (B,), to a scalar.

    It is the form that Goodfellow et al. (2014) call non-saturating.
    """
    return binary_cross_entropy_with_logits(realness, torch.ones_like(realness))
