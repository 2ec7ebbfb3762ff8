"""Models, data and losses of the recipes in which several things are compared, in small."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from exact_parts import Points
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss, relu
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.data import Dataset


class SpectralCritic(nn.Module):
    """x float32 (B, 4) → score float32 (B, 1); its layers are 1-Lipschitz, more or less."""

    def __init__(self) -> None:
        super().__init__()
        self.body = spectral_norm(nn.Linear(4, 6))
        self.score = spectral_norm(nn.Linear(6, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.score(relu(self.body(x)))  # type: ignore[no-any-return]


def hinge(of_real: Tensor, of_fake: Tensor) -> Tensor:
    """What a discriminator minimises, from its scores."""
    return relu(1 - of_real).mean() + relu(1 + of_fake).mean()


class R1:
    """The squared gradient of a discriminator at the data (L. Mescheder et al., ICML 2018)."""

    needs_grad: ClassVar[bool] = True

    def __call__(self, discriminator: nn.Module, real: Tensor) -> Tensor:
        real = real.detach().requires_grad_()
        scores = discriminator(real)
        (gradient,) = torch.autograd.grad(scores.sum(), real, create_graph=True)
        return gradient.square().flatten(1).sum(1).mean() / 2


class Pairs(Points):
    """Two points, and whether they lie on one side, float32 (1,)."""

    def __getitem__(self, index: int) -> Any:
        first, second = self.x[index], self.x[(index * 3 + 1) % len(self)]
        return first, second, (first[:1] * second[:1] > 0).float()


class Triplets(Points):
    """An anchor, a point near to it, and one far from it."""

    def __getitem__(self, index: int) -> Any:
        anchor = self.x[index]
        return anchor, anchor + 0.1 * self.x[(index + 1) % len(self)], -anchor


class Both(nn.Module):
    """Two codes float32 (B, 5) → the probability that they are alike, float32 (B, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Linear(10, 1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.score(torch.cat([first, second], 1)).sigmoid()  # type: ignore[no-any-return]


class Tasks(Points):
    """Points with a value and a class."""

    def __getitem__(self, index: int) -> Any:
        x, y = super().__getitem__(index)
        return x, y, int(x[0] > 0)


class Uncertainty(nn.Module):
    """Two tasks, each weighed by what it has learnt of its noise (A. Kendall et al., CVPR 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.log_variances = nn.Parameter(torch.zeros(2))

    def forward(self, said: Tensor, y: Tensor, scores: Tensor, c: Tensor) -> dict[str, Tensor]:
        of_value, of_class = self.log_variances
        return {
            "value": (-of_value).exp() * mse_loss(said, y) + of_value,
            "class": (-of_class).exp() * cross_entropy(scores, c) + of_class,
        }


class Pictures(Dataset[tuple[Tensor, Tensor]]):
    """One content and one style, float32 (3, 6, 6) each."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        both = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(index))
        return both[0], both[1]


class Canvas(nn.Module):
    """→ an image float32 (1, 3, 6, 6), which is its parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Parameter(torch.rand(1, 3, 6, 6))

    def forward(self) -> Tensor:
        return self.image.clone()


def gram(features: Tensor) -> Tensor:
    """How much channels have in common, float32 (B, C, C)."""
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / flat[0].numel()


def style_transfer(
    features: nn.Module, image: Tensor, content: Tensor, style: Tensor
) -> dict[str, Tensor]:
    """How far an image is from a content, and from a style (L. Gatys et al., 2015)."""
    own, of_content, of_style = features(image), features(content), features(style)
    return {
        "content": mse_loss(own, of_content.detach()),
        "style": 100 * mse_loss(gram(own), gram(of_style).detach()),
    }
