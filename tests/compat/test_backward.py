"""Backward passes that skip what torch asks of its arguments: torch's gradients, told to all."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.overrides import TorchFunctionMode

from torchassistant.compat import backward as module
from torchassistant.compat.backward import backward

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def gradient(run: Callable[[Tensor], Any], dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    x = torch.linspace(-1, 1, 6, dtype=dtype).reshape(2, 3).requires_grad_()
    run((x.tanh() * x).sum().reshape(shape))
    assert x.grad is not None
    return x.grad


@given(st.sampled_from(DTYPES), st.sampled_from([(), (1,), (1, 1)]))
def test_the_gradients_are_those_of_the_method(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    ours = gradient(lambda total: backward(total, False), dtype, shape)
    assert torch.equal(ours, gradient(Tensor.backward, dtype, shape))


def test_the_short_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else all of this compares torch with itself."""
    calls: list[object] = []
    monkeypatch.setattr(module, "_run", lambda *args, **kwargs: calls.append(args))
    backward(torch.ones((), requires_grad=True) * 2, False)
    assert len(calls) == 1


def test_a_graph_is_kept_where_it_is_needed_again() -> None:
    x = torch.ones(2, requires_grad=True)
    total = (x * x).sum()
    backward(total, True)
    backward(total, False)
    assert torch.equal(x.grad, torch.full((2,), 4.0))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="a second time"):
        backward(total, False)


@pytest.mark.parametrize(
    "total",
    [
        torch.ones(2, requires_grad=True) * 2,
        torch.ones(()),
        torch.ones((), dtype=torch.complex64, requires_grad=True) * 2,
        torch.ones(0, requires_grad=True) * 2,
    ],
    ids=["two numbers", "no gradient", "complex", "no number"],
)
def test_what_cannot_be_is_told_by_torch(total: Tensor) -> None:
    with pytest.raises(RuntimeError) as theirs:
        total.backward()
    with pytest.raises(RuntimeError) as ours:
        backward(total, False)
    assert str(ours.value) == str(theirs.value)


def test_what_changes_a_gradient_in_place_changes_it_once() -> None:
    class Doubling(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            return gradient.mul_(2)

    x = torch.ones((), requires_grad=True)
    for _ in range(3):
        x.grad = None
        backward(Doubling.apply(x), False)
        assert x.grad == 2
        x.grad.mul_(5)


class Heard(Tensor):
    """A tensor with a backward pass of its own."""

    heard = 0

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        Heard.heard += func is Tensor.backward
        return super().__torch_function__(func, types, args, kwargs or {})


class Hears(TorchFunctionMode):
    """A mode that hears of backward passes."""

    heard = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.heard += func is Tensor.backward
        return func(*args, **kwargs or {})


def test_tensors_and_modes_with_a_say_have_it() -> None:
    total = torch.ones((), requires_grad=True).as_subclass(Heard) * 2
    backward(total, False)
    assert Heard.heard == 1
    with Hears() as mode:
        backward(torch.ones((), requires_grad=True) * 2, False)
    assert mode.heard == 1


@pytest.mark.parametrize(("owner", "name"), [(Tensor, "backward"), (torch.autograd, "backward")])
def test_who_replaces_functions_of_torch_is_called(
    owner: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []
    monkeypatch.setattr(owner, name, lambda *args, **kwargs: calls.append(args))
    backward(torch.ones((), requires_grad=True) * 2, False)
    assert len(calls) == 1


def test_torch_logs_the_graph_where_it_is_asked_to(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="torch.autograd.graph"):
        backward(torch.ones((), requires_grad=True) * 2, False)
    assert "MulBackward0" in caplog.text


def test_within_a_transform_torch_refuses_it() -> None:
    weight = torch.ones((), requires_grad=True)

    def inner(x: Tensor) -> Tensor:
        backward(weight * 2, False)
        return x.sum()

    with pytest.raises(RuntimeError, match="functorch"):
        torch.func.grad(inner)(torch.ones(2))


@pytest.mark.parametrize("name", ["_run", "_is_transforming"])
def test_without_a_name_it_is_the_method(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, name, None)
    ours = gradient(lambda total: backward(total, False), torch.float32, ())
    assert torch.equal(ours, gradient(Tensor.backward, torch.float32, ()))
