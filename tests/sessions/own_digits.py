"""A dataset of the user's, made from one of torchvision."""

from torchvision.datasets import MNIST


class Digits(MNIST):
    """Is MNIST under another name."""
