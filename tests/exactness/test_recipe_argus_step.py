"""The training step of argus' guide: mixed precision and accumulation, both by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import Config, Twin, batches_of, config, feed, loader, loss, made, node, stage
from exact_runs import Runs
from step_parts import Images
from torch import nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.functional import cross_entropy

from torchassistant import EvalStepEvent, TrainStepEvent

HERE = __name__
EPOCHS, ACCUMULATE = 3, 2
SCALE: dict[str, Any] = {"init_scale": 2.0**21, "growth_interval": 2}
"""So large at first that steps are left out, and soon larger again."""


class AMPStep:
    """Scales the losses of some batches, adds their gradients up, and lets the scaler step."""

    def __init__(self, accumulate: int) -> None:
        self.scaler = GradScaler("cpu", **SCALE)
        self.accumulate, self.seen = accumulate, 0

    def __call__(self, event: TrainStepEvent) -> dict[str, Any]:
        images, target = event.frame["images"], event.frame["target"]
        sgd = event.optimizers["sgd"]
        with torch.autocast(event.device.type, dtype=torch.float16):
            prediction = event.models["net"](images)
            loss = event.losses["loss"](prediction, target)
        event.backward(self.scaler.scale(loss / self.accumulate))
        self.seen += 1
        if self.seen % self.accumulate == 0:
            self.scaler.step(sgd)
            self.scaler.update()
            sgd.zero_grad()
        return {"prediction": prediction.argmax(1), "target": target, "loss": loss}

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen, "scaler": self.scaler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]
        self.scaler.load_state_dict(state["scaler"])


def val_step(event: EvalStepEvent) -> dict[str, Any]:
    """The same without gradient."""
    images, target = event.frame["images"], event.frame["target"]
    with torch.autocast(event.device.type, dtype=torch.float16):
        prediction = event.models["net"](images)
        loss = event.losses["val loss"](prediction, target)
    return {"prediction": prediction.argmax(1), "target": target, "val loss": loss}


def argus_step() -> Config:
    groups: dict[str, dict[str, Config]] = {
        "datasets": {
            "images": made("step_parts.Images", 18),
            "others": made("step_parts.Images", 9, seed=1),
        },
        "loader_factories": {"batches": loader("images"), "held_out": loader("others")},
        "models": {"net": made("step_parts.SmallNet")},
        "optimizers": {"sgd": {**made("SGD", lr=0.05, momentum=0.9), "model": "net"}},
        "losses": {"entropy": {**made("CrossEntropyLoss"), "inputs": ["scores", "target"]}},
        "metrics": {"accuracy": {**made("Accuracy"), "inputs": ["prediction", "target"]}},
        "batch_processors": {"run": {"neural_graph": [node("net", "images", "scores", "sgd")]}},
    }
    pipelines = {
        "fit": {
            "input_factories": [feed("batches", "images target")],
            "losses": [loss("entropy", loss_display_name="loss")],
            "train_step": made(f"{HERE}.AMPStep", accumulate=ACCUMULATE),
        },
        "check": {
            "input_factories": [feed("held_out", "images target")],
            "losses": [loss("entropy", loss_display_name="val loss")],
            "metrics": [{"metric_name": "accuracy"}],
            "eval_step": made(f"{HERE}.val_step"),
        },
    }
    return config(groups, pipelines, stage("fit", epochs=EPOCHS, validation=["check"]))


def test_it_trains_as_in_a_loop(tmp_path: Path) -> None:
    twin = Twin(argus_step(), tmp_path)
    net, scaler = twin.models["net"], GradScaler("cpu", **SCALE)
    sgd = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    seen, scales, history = 0, [], []
    for _ in range(EPOCHS):
        net.train()
        total = 0.0
        for images, target in batches_of(Images(18)):
            with torch.autocast("cpu", dtype=torch.float16):
                value = cross_entropy(net(images), target)
            scaler.scale(value / ACCUMULATE).backward()
            seen += 1
            if seen % ACCUMULATE == 0:
                scaler.step(sgd)
                scaler.update()
                sgd.zero_grad()
                scales.append(scaler.get_scale())
            total += value.item() * len(images)
        history.append([total / 18, *checked(net)])
    twin.check()
    assert min(scales) < scales[-1] < SCALE["init_scale"], "steps were left out, and then not"
    shown = twin.session.history[["loss", "val loss", "accuracy"]].to_numpy()
    assert shown == pytest.approx(torch.tensor(history, dtype=torch.float64).numpy(), rel=1e-12)


def checked(net: nn.Module) -> tuple[float, float]:
    """The mean loss, and the share of images whose class is right."""
    net.eval()
    total, right = 0.0, 0
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.float16):
        for images, target in batches_of(Images(9, seed=1)):
            scores = net(images)
            total += cross_entropy(scores, target).item() * len(images)
            right += int((scores.argmax(1) == target).sum())
    return total / 9, right / 9


def test_it_goes_on_from_any_batch(tmp_path: Path) -> None:
    Runs(argus_step(), tmp_path).check_cuts()
