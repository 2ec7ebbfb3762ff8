"""Where in an image a net looks.

S. Zagoruyko and N. Komodakis: Paying More Attention to Attention. 2017. https://arxiv.org/abs/1612.03928
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import normalize


def attention_maps(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """From features to maps, which can be compared though the nets differ in width.

    Args:
        student: Features of a layer, float32 (B, C, H, W).
        teacher: The same with other channels, float32 (B, D, H, W).

    Returns:
        For each, the mean square over the channels, of length 1 for each image: float32 (B, H W).
    """
    return _map(student), _map(teacher)


def _map(features: Tensor) -> Tensor:
    return normalize(features.square().mean(dim=1).flatten(1), dim=1)
