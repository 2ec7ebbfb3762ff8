"""The two networks of a DCGAN, for images of 8 by 8 pixels.

A. Radford, L. Metz and S. Chintala: Unsupervised Representation Learning with Deep Convolutional
Generative Adversarial Networks. 2015. https://arxiv.org/abs/1511.06434
"""

from __future__ import annotations

from torch import Tensor, nn


class Generator(nn.Module):
    """Makes images of noise: transposed convolutions, each of which doubles height and width.

    Args:
        noise_size: The length of a noise vector.
        width: Channels at 4 by 4 pixels; there are twice as many at 2 by 2, half as many at 8 by 8.
    """

    def __init__(self, noise_size: int, width: int = 32) -> None:
        super().__init__()
        # The normalisations have biases of their own.
        self.layers = nn.Sequential(
            nn.Linear(noise_size, 2 * width * 2 * 2, bias=False),
            nn.Unflatten(1, (2 * width, 2, 2)),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, kernel_size=4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.ConvTranspose2d(width, width // 2, kernel_size=4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width // 2),
            nn.ReLU(),
            nn.Conv2d(width // 2, 1, kernel_size=3, padding=1),
            nn.Sigmoid(),
        )
        self.layers.apply(_initialize)

    def forward(self, noise: Tensor) -> Tensor:
        """Noise, float32 (B, noise_size), to images, float32 (B, 1, 8, 8) from 0 to 1."""
        return self.layers(noise)


class Discriminator(nn.Module):
    """Says how real images look: convolutions, each of which halves height and width.

    It has no batch normalisation: a batch holds real and generated images, and each is to be
    judged by itself.

    Args:
        width: Channels at 4 by 4 pixels; there are twice as many at 2 by 2.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, kernel_size=4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, kernel_size=4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(2 * width * 2 * 2, 1),
            nn.Flatten(start_dim=0),
        )
        self.layers.apply(_initialize)

    def forward(self, images: Tensor) -> Tensor:
        """Images, float32 (B, 1, 8, 8) from 0 to 1, to logits, float32 (B,): above 0 is real."""
        return self.layers(2 * images - 1)


def _initialize(layer: nn.Module) -> None:
    """Start weights as in the paper."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(layer.weight, std=0.02)
