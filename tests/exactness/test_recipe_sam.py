"""SAM and Lookahead: optimizers of one's own, with another optimizer in them, resume exactly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import (
    NET,
    Config,
    Twin,
    batches_of,
    config,
    feed,
    loader,
    loss,
    made,
    node,
    part,
    stage,
)
from exact_parts import Points
from exact_runs import Runs
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import StepLR

THIS = "test_recipe_sam"


class SAM(Optimizer):
    """Descends by the gradient at the worst place nearby; as in davda54/sam.

    Args:
        params: As of any optimizer.
        rho: How near.
        lr, momentum: Those of the optimizer that steps.
    """

    def __init__(self, params: Any, rho: float = 0.05, lr: float = 0.1, momentum: float = 0.9):
        super().__init__(params, {"rho": rho})
        self.base = SGD(self.param_groups, lr=lr, momentum=momentum)
        self.param_groups = self.base.param_groups
        self.defaults.update(self.base.defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        closure = torch.enable_grad()(closure)
        value = closure()
        norms = [p.grad.norm() for g in self.param_groups for p in g["params"]]
        norm = torch.stack(norms).norm() + 1e-12
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["old"] = parameter.clone()
                parameter.add_(parameter.grad * (group["rho"] / norm))
        closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.copy_(self.state[parameter]["old"])
        self.base.step()
        return value


class Lookahead(Optimizer):
    """Every few steps of Adam, goes back half of the way; its state has a form of its own.

    Args:
        params: As of any optimizer.
        every: How many steps.
        lr: That of Adam.
    """

    def __init__(self, params: Any, every: int = 3, lr: float = 0.05) -> None:
        super().__init__(params, {"lr": lr})
        self.fast, self.every, self.steps = Adam(self.param_groups, lr=lr), every, 0
        self.param_groups = self.fast.param_groups
        self.slow = [p.detach().clone() for g in self.param_groups for p in g["params"]]

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        value = self.fast.step(closure)
        self.steps += 1
        if self.steps % self.every == 0:
            parameters = [p for g in self.param_groups for p in g["params"]]
            for parameter, slow in zip(parameters, self.slow, strict=True):
                parameter.copy_(slow.lerp_(parameter, 0.5))
        return value

    def state_dict(self) -> dict[str, Any]:
        return {"fast": self.fast.state_dict(), "steps": self.steps, "slow": self.slow}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.fast.load_state_dict(state["fast"])
        self.param_groups, self.steps = self.fast.param_groups, state["steps"]
        self.slow = [slow.clone() for slow in state["slow"]]


def with_optimizer(optimizer: Config, **second: Any) -> Config:
    """A regression in two stages."""
    groups = {
        "datasets": {"points": part("Points", 10)},
        "loader_factories": {"batches": loader("points")},
        "models": {"net": NET},
        "optimizers": {"own": {**optimizer, "model": "net"}},
        "losses": {"error": {**made("MSELoss"), "inputs": ["y_hat", "y"]}},
        "batch_processors": {"run": {"neural_graph": [node("net", "x", "y_hat", "own")]}},
    }
    fit = {"input_factories": [feed("batches", "x y")], "losses": [loss("error")]}
    return config(groups, {"fit": fit}, stage("fit", epochs=2), stage("fit", epochs=1, **second))


SCHEDULED = {"lr_scheduler": made("StepLR", step_size=1, gamma=0.5)}
CONFIGS = {
    "sam": with_optimizer({**made(f"{THIS}.SAM", rho=0.1, lr=0.05), **SCHEDULED}),
    "lookahead": with_optimizer({**made(f"{THIS}.Lookahead"), **SCHEDULED}),
    "reset": with_optimizer(made(f"{THIS}.SAM", rho=0.1, lr=0.05), reset=["optimizers.own"]),
}


def closure_of(net: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> Callable[[], Tensor]:
    def closure() -> Tensor:
        optimizer.zero_grad()
        error = mse_loss(net(x), y)
        error.backward()
        return error

    return closure


@pytest.mark.parametrize("name", CONFIGS)
def test_it_is_the_plain_loop(name: str, tmp_path: Path) -> None:
    twin = Twin(CONFIGS[name], tmp_path)
    net = twin.models["net"]

    def made_anew() -> Optimizer:
        if name == "lookahead":
            return Lookahead(net.parameters())
        return SAM(net.parameters(), rho=0.1, lr=0.05)

    optimizer = made_anew()
    scheduler = StepLR(optimizer, 1, 0.5) if name != "reset" else None
    for epoch in range(3):
        if name == "reset" and epoch == 2:
            optimizer = made_anew()
        for x, y in batches_of(Points(10)):
            closure = closure_of(net, optimizer, x, y)
            if name == "lookahead":
                closure()
                optimizer.step()
            else:
                optimizer.step(closure)
        if scheduler is not None:
            scheduler.step()
    twin.check()


@pytest.mark.parametrize("name", CONFIGS)
def test_cuts(name: str, tmp_path: Path) -> None:
    """The momentum of the optimizer within, its learning rate, and a form of its own go on."""
    Runs(CONFIGS[name], tmp_path).check_cuts((1, 4, 7))
