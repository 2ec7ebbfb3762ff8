"""The example of the digits as a script: ``python -m benchmarks.digits_by_hand train FOLDER``.

It imports nothing of TorchAssistant, and does what the example does: a split, a normalisation
fitted on the training slice, ten epochs with validation, a history in CSV, a checkpoint an epoch.
``evaluate FOLDER`` measures the test slice, ``infer FOLDER IMAGE`` names the digit in a file.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Adam
from torch.utils.data import DataLoader, Dataset, Subset, random_split
from tqdm import tqdm

from benchmarks.plain import saved
from examples.digits.data import Digits
from examples.digits.model import DigitNet

EPOCHS = 10
CHECKPOINT = "checkpoint.safetensors"


class Normalized(Dataset[tuple[Tensor, int]]):
    """Images float32 (1, 8, 8) with mean 0 and deviation 1 over the training slice, and labels."""

    def __init__(self, part: Subset[Any], mean: float, deviation: float) -> None:
        self.part, self.mean, self.deviation = part, mean, deviation

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, label = self.part[index]
        return normalized(image, self.mean, self.deviation), label


def normalized(image: Any, mean: float, deviation: float) -> Tensor:
    """An image uint8 (8, 8) as the net takes it, float32 (1, 8, 8)."""
    return (torch.from_numpy(np.array(image, np.float32))[None] / 255 - mean) / deviation


def parts() -> tuple[list[Normalized], float, float]:
    """The slices for training, validation and test; mean and deviation of the first."""
    slices = random_split(Digits(), [0.7, 0.15, 0.15], torch.Generator().manual_seed(1))
    images = np.stack([image for image, _ in slices[0]]) / 255
    mean, deviation = float(images.mean()), float(images.std())
    return [Normalized(part, mean, deviation) for part in slices], mean, deviation


def train(folder: Path) -> None:
    """Train, and leave a history and a checkpoint."""
    torch.manual_seed(1)
    (training, validation, _), mean, deviation = parts()
    loader = DataLoader(training, 32, shuffle=True)
    net = DigitNet(16, 0.3)
    adam = Adam(net.parameters(), lr=0.002)
    with (folder / "history.csv").open("w", newline="") as file:
        history = csv.writer(file)
        history.writerow(["epoch", "loss", "accuracy", "val loss", "val accuracy"])
        for epoch in range(1, EPOCHS + 1):
            row = _trained(net, adam, loader)
            history.writerow([epoch, *row, *measured(net, validation)])
            file.flush()
            numbers = torch.tensor([mean, deviation], dtype=torch.float64)
            save_file({**saved([net], [adam]), "normalization": numbers}, folder / CHECKPOINT)


def _trained(net: nn.Module, adam: Adam, loader: DataLoader[Any]) -> tuple[float, float]:
    """Loss and accuracy of an epoch."""
    net.train()
    total, right, count = 0.0, 0, 0
    bar = tqdm(loader, dynamic_ncols=True, leave=False)
    for images, labels in bar:
        scores = net(images)
        loss = nn.functional.cross_entropy(scores, labels)
        adam.zero_grad()
        loss.backward()
        adam.step()
        total += loss.item() * len(labels)
        right += int((scores.argmax(-1) == labels).sum())
        count += len(labels)
        bar.set_postfix(loss=total / count, refresh=False)
    return total / count, right / count


@torch.no_grad()
def measured(net: nn.Module, part: Normalized) -> tuple[float, float]:
    """Loss and accuracy of a slice."""
    net.eval()
    total, right = 0.0, 0
    for images, labels in DataLoader(part, 256):
        scores = net(images)
        total += float(nn.functional.cross_entropy(scores, labels)) * len(labels)
        right += int((scores.argmax(-1) == labels).sum())
    return total / len(part), right / len(part)


def evaluate(folder: Path) -> None:
    """Print loss and accuracy of the test slice."""
    net, _ = _loaded(folder)
    loss, accuracy = measured(net, parts()[0][2])
    print(f"loss {loss:.4f}\naccuracy {accuracy:.4f}")


def infer(folder: Path, path: str) -> None:
    """Print the digit in an image file."""
    from PIL import Image

    net, (mean, deviation) = _loaded(folder)
    net.eval()
    with Image.open(path) as image, torch.no_grad():
        small = image.convert("L").resize((8, 8))
        print(int(net(normalized(small, mean, deviation)[None]).argmax()))


def _loaded(folder: Path) -> tuple[nn.Module, tuple[float, float]]:
    stored = load_file(folder / CHECKPOINT)
    net = DigitNet(16, 0.3)
    own = "modules.0."
    weights = {k.removeprefix(own): v for k, v in stored.items() if k.startswith(own)}
    net.load_state_dict(weights)
    mean, deviation = stored["normalization"].tolist()
    return net, (mean, deviation)


COMMANDS: dict[str, Callable[..., None]] = {"train": train, "evaluate": evaluate, "infer": infer}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
