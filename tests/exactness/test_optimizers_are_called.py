"""The calls of an optimizer are spared what torch puts around them, and nothing else."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import StepLR

from torchassistant.training.optimizer_calls import stepping, zeroing


class Own(SGD):
    """An optimizer of the user."""

    def __init__(self, parameters: Any, lr: float) -> None:
        super().__init__(parameters, lr=lr, momentum=0.9)
        self.calls = 0

    def step(self, closure: Any = None) -> Any:
        self.calls += 1
        return super().step(closure)


class Zeroing(SGD):
    """An optimizer that keeps its gradients, as zeros."""

    def zero_grad(self, set_to_none: bool = False) -> None:
        super().zero_grad(set_to_none=False)


def with_gradients(kind: type[Optimizer]) -> tuple[nn.Linear, Optimizer]:
    torch.manual_seed(1)
    net = nn.Linear(3, 2)
    net(torch.randn(4, 3)).square().sum().backward()
    return net, kind(net.parameters(), lr=0.1)  # type: ignore[call-arg]


@pytest.mark.parametrize("kind", [SGD, Adam, Own])
@pytest.mark.parametrize("scheduled", [False, True])
def test_a_step_is_the_step_of_torch(kind: type[Optimizer], scheduled: bool) -> None:
    net, optimizer = with_gradients(kind)
    twin, expected = with_gradients(kind)
    schedulers = [StepLR(o, 1) for o in (optimizer, expected)] if scheduled else []
    step = stepping(optimizer)
    for _ in range(3):
        step()
        expected.step()
        for scheduler in schedulers:
            scheduler.step()
    assert all(map(torch.equal, net.parameters(), twin.parameters()))
    if isinstance(optimizer, Own):
        assert optimizer.calls == 3


def test_hooks_that_are_added_later_are_called() -> None:
    _, optimizer = with_gradients(Adam)
    step, calls = stepping(optimizer), []
    step()
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))
    step()
    assert calls == ["before", "after"]


def test_a_profiler_sees_the_steps() -> None:
    _, optimizer = with_gradients(SGD)
    step = stepping(optimizer)
    with torch.profiler.profile(acc_events=True) as profile:
        step()
    assert any("Optimizer.step#SGD.step" in event.key for event in profile.key_averages())


def test_a_step_that_was_replaced_is_called() -> None:
    _, optimizer = with_gradients(SGD)
    calls: list[int] = []
    optimizer.step = lambda *_: calls.append(1)  # type: ignore[method-assign,assignment]
    stepping(optimizer)()
    assert calls == [1]


@pytest.mark.parametrize("kind", [SGD, Zeroing])
def test_gradients_are_reset_as_the_optimizer_does_it(kind: type[Optimizer]) -> None:
    net, optimizer = with_gradients(kind)
    twin = copy.deepcopy(net)
    zeroing(optimizer)()
    kept = kind is Zeroing
    for parameter, other in zip(net.parameters(), twin.parameters(), strict=True):
        assert (parameter.grad is not None) is kept
        assert not kept or torch.equal(parameter.grad, torch.zeros_like(other))  # type: ignore[arg-type]
