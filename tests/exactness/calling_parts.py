"""Objects that call models of the session by themselves, however they hold them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

Frame = dict[str, Any]


def closure(session: Any) -> Callable[[Frame], Frame]:
    """Holds on to the session."""
    return lambda frame: {**frame, "noise": session.models["inner"](frame["x"])}


class Holding:
    """Holds the model in an attribute."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __call__(self, frame: Frame) -> Frame:
        return {**frame, "noise": self.model(frame["x"])}


def holding(session: Any) -> Holding:
    return Holding(session.models["inner"])


def in_a_list(session: Any) -> Callable[[Frame], Frame]:
    def run(models: list[nn.Module], frame: Frame) -> Frame:
        return {**frame, "noise": models[0](frame["x"])}

    return partial(run, [session.models["inner"]])


def bound(session: Any) -> Callable[[Frame], Frame]:
    return Holding(session.models["inner"]).__call__


_KEPT: dict[str, nn.Module] = {}


def through_a_global(session: Any) -> Callable[[Frame], Frame]:
    _KEPT["inner"] = session.models["inner"]
    return _by_global


def _by_global(frame: Frame) -> Frame:
    return {**frame, "noise": _KEPT["inner"](frame["x"])}


class Hidden(nn.Module):
    """A model that hides another from its parameters, in a list."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)
        self.hidden = [inner]

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.hidden[0](x))


def hiding(session: Any) -> Hidden:
    return Hidden(session.models["inner"])


def metric(session: Any) -> Callable[[Tensor], Tensor]:
    return lambda x: session.models["inner"](x).abs().mean()


class Updating:
    """A metric with a state: the mean of what a model gives."""

    def __init__(self, model_of: Callable[[], nn.Module]) -> None:
        self.model_of = model_of
        self.reset()

    def reset(self) -> None:
        self.values: list[float] = []

    def update(self, x: Tensor) -> None:
        self.values.append(float(self.model_of()(x).abs().mean()))

    def compute(self) -> float:
        return sum(self.values) / len(self.values)


class Asking:
    """Holds the session."""

    def __init__(self, session: Any) -> None:
        self.session = session

    def __call__(self) -> nn.Module:
        return self.session.models["inner"]  # type: ignore[no-any-return]


class Given:
    """Holds a model."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __call__(self) -> nn.Module:
        return self.model


def updating_by_session(session: Any) -> Updating:
    return Updating(Asking(session))


def updating_by_model(session: Any) -> Updating:
    return Updating(Given(session.models["inner"]))


class Mode(nn.Module):
    """1 in train mode, 0 in eval mode, and a column of its input in either."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 0 + torch.tensor(float(self.training))


def adapter(session: Any) -> Callable[[Frame], Frame]:
    """An input adapter; the second node shows in which mode the model was."""
    inner = session.models["inner"]
    return lambda frame: {"net": {"x": frame["x"]}, "echo": {"x": inner(frame["x"])}}


def mode_as_loss(session: Any) -> Callable[[Tensor], Tensor]:
    """A loss that is 1 in train mode of a model, and 0 in eval mode."""
    return lambda y_hat: y_hat.sum() * 0 + session.models["inner"](y_hat.detach()).mean()
