"""Objects for the configs of these tests. Some inject a fault that a variable selects.

The environment variables are read on use, so that a session can be trained with the fault, and
then to its end without it:

- ``FAULTS_SLEEP``: seconds that every example takes;
- ``FAULTS_GATE``: a file; examples wait until it exists;
- ``FAULTS_EXAMPLE``: ``INDEX kill``, ``INDEX raise`` or ``INDEX hang``: what example INDEX does;
- ``FAULTS_LOCALE``: a locale that is set when the first example is asked for;
- ``FAULTS_COUNT``: a file that grows by a byte with every training iteration.
"""

from __future__ import annotations

import contextlib
import locale
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class Augmented:
    """Points of a plane, x float32 (2,) and y float32 (1,), with noise from three generators."""

    def __init__(self, count: int) -> None:
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randn(count, 2, generator=generator)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        misbehave(index)
        x = self.x[index]
        scale = random.uniform(0.9, 1.1) + np.random.uniform(-0.1, 0.1)
        return x * scale + 0.1 * torch.randn(2), x.sin().sum().reshape(1)


def misbehave(index: int) -> None:
    """Inject the fault that the environment selects for an example."""
    time.sleep(float(os.environ.get("FAULTS_SLEEP", "0")))
    gate = os.environ.get("FAULTS_GATE")
    while gate and not Path(gate).exists():
        time.sleep(0.01)
    if name := os.environ.get("FAULTS_LOCALE"):
        with contextlib.suppress(locale.Error):
            locale.setlocale(locale.LC_ALL, name)
    which, _, fault = os.environ.get("FAULTS_EXAMPLE", "-1 ").partition(" ")
    if index == int(which):
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif fault == "hang":
            time.sleep(600)
        elif fault == "raise":
            raise LookupError(f"example {index} is unreadable")


class Centre:
    """A preprocessor: subtracts the fitted mean of column 0. x is float32 (2,)."""

    def __init__(self) -> None:
        self.mean = torch.zeros(2)

    def fit(self, dataset: Any) -> None:
        self.mean = torch.stack([dataset[i][0] for i in range(len(dataset))]).mean(0)

    def process(self, value: Tensor) -> Tensor:
        return value - self.mean

    def state_dict(self) -> dict[str, Any]:
        return {"mean": self.mean, "unit": "metre"}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.mean = state["mean"]


class Encoder(nn.Module):
    """x float32 (B, 2) → float32 (B, 6), with batch norm and dropout; counts iterations."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.3))

    def forward(self, x: Tensor) -> Tensor:
        if self.training and (name := os.environ.get("FAULTS_COUNT")):
            with open(name, "ab") as file:
                file.write(b".")
        return self.layers(x)


class Decoder(nn.Module):
    """float32 (B, 6) → float32 (B, 1), with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Dropout(0.2), nn.Linear(6, 1))

    def forward(self, code: Tensor) -> Tensor:
        return self.layers(code)


class LargestError:
    """A metric: the largest distance between predictions and targets, both float32 (B, 1)."""

    def __init__(self) -> None:
        self.largest = torch.zeros(())

    def reset(self) -> None:
        self.largest = torch.zeros(())

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        self.largest = torch.maximum(self.largest, (predictions - targets).abs().max())

    def compute(self) -> Tensor:
        return self.largest


class Errors:
    """A metric that gives a tensor: the errors of columns float32 (B, 1), as a histogram (5,)."""

    def __init__(self) -> None:
        self.counts = torch.zeros(5)

    def reset(self) -> None:
        self.counts = torch.zeros(5)

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        self.counts += torch.histc((predictions - targets).detach(), 5, -2, 2)

    def compute(self) -> Tensor:
        return self.counts


class Spread:
    """An evaluator with a state: how far a model's outputs are spread, and what it drew."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, models: Any, loader: Any) -> dict[str, Any]:
        self.calls += 1
        spread = torch.cat([models["model"](x) for x, _ in loader]).std()
        return {"spread": spread, "drawn": torch.rand(()), "calls": self.calls}

    def state_dict(self) -> dict[str, Any]:
        return {"calls": self.calls}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.calls = state["calls"]


class NumberToRow:
    """An input converter: ``"1,2"`` → tensor (2,)."""

    def __call__(self, text: str) -> Tensor:
        return torch.tensor([float(part) for part in text.split(",")])
