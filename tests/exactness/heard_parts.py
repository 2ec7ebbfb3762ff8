"""Callbacks of the tests: one that notes what it hears, and those that a run has to bear."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import TensorDataset

from torchassistant.callbacks import Callback, on

EVENTS = [name for name in vars(Callback) if name.startswith("on_")]

HEARD: list[tuple[str, int]] = []
"""What :class:`Notes` heard: the event, and how many iterations were done."""
ARMED: list[str] = []
"""Where :class:`Raises` raises; taken out by the tests."""


class Points(TensorDataset):
    """``count`` examples: x (3,) float32, y (1,) float32."""

    def __init__(self, count: int, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(count, 3, generator=generator)
        super().__init__(x, x.sum(1, keepdim=True))


class Net(nn.Sequential):
    """With a dropout: it draws from torch's global generator in training."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(3, 4), nn.Dropout(0.3), nn.Linear(4, 1))


def everywhere(act: Callable[..., None], *names: str) -> Callable[[type], type]:
    """Let a class do one thing in every event, or in those named: ``act(self, event, name)``."""

    def decorate(made: type) -> type:
        for name in names or EVENTS:

            def method(self: Any, event: Any, name: str = name) -> None:
                act(self, event, name)

            setattr(made, name, method)
        return made

    return decorate


class Counting(Callback):
    """Has a state: how often each event was heard, and what was drawn."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.rng = random.Random(3)
        self.drawn = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"counts": dict(self.counts), "drawn": self.drawn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.counts, self.drawn = dict(state["counts"]), state["drawn"]


# What each process, or each checkpoint, hears anew is not the same in a run that was cut.
ONCE = [n for n in EVENTS if n not in ("on_train_start", "on_checkpoint", "on_exception")]


def _count(self: Any, event: Any, name: str) -> None:
    self.counts[name] = self.counts.get(name, 0) + 1
    self.drawn += torch.rand((), generator=event.generator).item() + self.rng.random()


@everywhere(_count, *ONCE)
class Keeps(Counting):
    """Counts, and draws from generators of its own."""


def _note(self: Any, event: Any, name: str) -> None:
    HEARD.append((name, event.step))


@everywhere(_note)
class Notes(Callback):
    """Notes what it hears."""


def _draw(self: Any, event: Any, name: str) -> None:
    torch.rand(3)
    np.random.rand()
    random.random()


@everywhere(_draw)
class Draws(Callback):
    """Draws from all global generators in every event, and says so."""

    draws: ClassVar[bool] = True


@everywhere(_draw, *(n for n in EVENTS if n not in ("on_checkpoint", "on_train_start")))
class DrawsSilently(Callback):
    """Draws in every event, and does not say so."""


def _forget(self: Any, event: Any, name: str) -> None:
    for model in event.session.models.values():
        for parameter in model.parameters():
            parameter.grad = None


@everywhere(_forget, "on_step_end", "on_iteration_end", "on_validation_start", "on_epoch_end")
class Forgets(Callback):
    """Sets all gradients to None after the step."""


class Raises(Callback):
    """Raises in one event, from the second time on, as long as it is armed."""


def _raise(self: Any, event: Any, name: str) -> None:
    if name in ARMED:
        raise ArithmeticError(f"no {name}")


everywhere(_raise)(Raises)


class Stops(Counting):
    """Asks for the end in one event, at the second time, or the first if there is but one."""

    def __init__(self, event: str, what: str = "training", at: int = 2) -> None:
        super().__init__()
        self.event, self.what, self.at = event, what, at


def _stop(self: Any, event: Any, name: str) -> None:
    if name == self.event:
        self.counts[name] = self.counts.get(name, 0) + 1
        if self.counts[name] == self.at:
            getattr(event, f"stop_{self.what}")()


everywhere(_stop)(Stops)


class Adds(Callback):
    """Adds columns: a number, a tensor, and one within iterations whose last value counts."""

    columns = ("steps", "norm", "nothing")

    def on_iteration_end(self, event: Any) -> None:
        event.add("steps", event.iteration)

    def on_backward_end(self, event: Any) -> None:
        groups = [group for o in event.optimizers.values() for group in o.param_groups]
        gradients = [p.grad for group in groups for p in group["params"]]
        event.add("norm", torch.stack([g.norm() for g in gradients if g is not None]).norm())


class AddsUnknown(Callback):
    """Adds what it has not declared, or what is no number."""

    columns = ("norm",)

    def __init__(self, event: str, name: str = "nrom") -> None:
        self.event, self.column = event, name


def _add(self: Any, event: Any, name: str) -> None:
    if name == self.event:
        event.add(self.column, 1.0 if self.column == "nrom" else "one")


everywhere(_add, "on_epoch_end", "on_step_end")(AddsUnknown)


class Copies(Callback):
    """Copies the session whenever its state is stored: what a process leaves that dies then."""

    to: ClassVar[Path | None] = None

    def on_checkpoint(self, event: Any) -> None:
        if self.to is not None:
            self.to.mkdir(exist_ok=True)
            shutil.copytree(event.session.path, self.to / f"{len([*self.to.iterdir()]):03}")


class Slow(Callback):
    """Takes its time in every step."""

    def on_step_start(self, event: Any) -> None:
        time.sleep(0.02)


class Halves(Callback):
    """Changes the gradients, the only place where that is right."""

    def on_backward_end(self, event: Any) -> None:
        for optimizer in event.optimizers.values():
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.grad.mul_(0.5)


class Emits(Callback):
    """Fires an event of its own after every step."""

    def on_step_end(self, event: Any) -> None:
        event.session.emit("stepped", event.pipeline, loss=event.losses["loss"])


class Hears(Counting):
    """Hears that event."""

    columns = ("heard",)

    @on("stepped")
    def stepped(self, event: Any, pipeline: str, loss: float) -> None:
        key = f"{event.called} {pipeline}"
        self.counts[key] = self.counts.get(key, 0) + 1
        self.drawn += loss
        event.add("heard", self.counts[key])


class Accumulates:
    """A step of the user's own: gradients of two batches, then a step; an event at each."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.batches = 0

    def state_dict(self) -> dict[str, Any]:
        return {"batches": self.batches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.batches = state["batches"]

    def __call__(self, event: Any) -> dict[str, Any]:
        net, optimizer = event.models["net"], event.optimizers["sgd"]
        loss = event.losses["loss"](net(event.frame["x"]), event.frame["y"])
        event.backward(loss)
        self.batches += 1
        if self.batches % 2 == 0:
            event.step(optimizer)
            optimizer.zero_grad()
            self.session.emit("stepped", "own", loss=loss.item())
        return {"loss": loss}


def accumulates(session: Any) -> Accumulates:
    return Accumulates(session)


def steps_sgd(session: Any) -> Callable[[Any], dict[str, Any]]:
    """A step of the user's own: of two optimizers only one steps."""

    def train_step(event: Any) -> dict[str, Any]:
        optimizer = event.optimizers["sgd"]
        optimizer.zero_grad()
        loss = event.losses["loss"](event.models["net"](event.frame["x"]), event.frame["y"])
        event.backward(loss)
        event.step(optimizer)
        return {"loss": loss}

    return train_step


class MonitorCheckpoint(Callback):
    """As argus has it: keeps the weights of the best epoch by a column, in files of its own."""

    def __init__(self, folder: str, monitor: str = "val", better: str = "min") -> None:
        self.folder, self.monitor, self.better = folder, monitor, better
        self.best: float | None = None

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best = state["best"]

    def on_epoch_end(self, event: Any) -> None:
        value = event.row[self.monitor]
        sign = 1 if self.better == "min" else -1
        if self.best is None or sign * value < sign * self.best:
            self.best = value
            name = f"model-{event.epoch:03d}-{value:.6f}.safetensors"
            save_file(event.session.models["net"].state_dict(), Path(self.folder, name))


class EarlyStopping(Callback):
    """As argus has it: ends training after some epochs without a better value."""

    def __init__(self, monitor: str, patience: int) -> None:
        self.monitor, self.patience = monitor, patience
        self.best, self.waited = float("inf"), 0

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.waited = state["best"], state["waited"]

    def on_epoch_end(self, event: Any) -> None:
        value = event.row[self.monitor]
        self.waited = 0 if value < self.best else self.waited + 1
        self.best = min(self.best, value)
        if self.waited >= self.patience:
            event.stop_training()


class Wrongness:
    """A metric of which more is better: the mean squared error."""

    better = "max"

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.total, self.count = 0.0, 0

    def update(self, y_hat: torch.Tensor, y: torch.Tensor) -> None:
        self.total += float((y_hat - y).square().sum())
        self.count += len(y)

    def compute(self) -> float:
        return self.total / self.count
