"""Weights of a byte each: what is computed from them, and that they can be put back."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from torchassistant.rebuilding import Misfit, axes_of, has_int8_weights, rebuilt


class Everything(nn.Module):
    """Layers that read their weights in other ways than linear ones, and tied weights."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(30, 8)
        self.lstm = nn.LSTM(8, 8, batch_first=True)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.position = nn.Parameter(torch.randn(1, 5, 8))
        self.extra = nn.ParameterList([torch.randn(4, 8)])
        self.out = nn.Linear(8, 30, bias=False)
        self.out.weight = self.table.weight

    def forward(self, tokens: Tensor) -> Tensor:
        values = self.table(tokens) + self.position + self.extra[0].sum()
        values, _ = self.lstm(values)
        values = values + self.attention(values, values, values)[0]
        return self.out(self.layer(values))


def convolutions() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.ConvTranspose2d(8, 4, 3, groups=2))


MODELS = {
    "everything": (Everything, lambda: torch.randint(30, (3, 5))),
    "convolutions": (convolutions, lambda: torch.randn(2, 3, 6, 6)),
    "one layer": (lambda: nn.Linear(16, 4), lambda: torch.randn(3, 16)),
}


def int8(model: nn.Module) -> list[dict[str, Any]]:
    return [{"kind": "int8", "axes": axes_of(model)}]


def by_hand(model: nn.Module) -> nn.Module:
    """The same model with every weight rounded to 255 steps of its channel."""
    rounded = copy.deepcopy(model)
    named = dict(rounded.named_parameters(remove_duplicate=False))
    with torch.no_grad():
        for weight in {
            id(named[path]): (named[path], axis) for path, axis in axes_of(model).items()
        }.values():
            tensor, axis = weight
            scale = tensor.abs().amax([d for d in range(tensor.ndim) if d != axis], True) / 127
            tensor.copy_((tensor / scale).round().to(torch.int8).float() * scale)
    return rounded


@pytest.mark.parametrize("name", MODELS)
def test_it_is_the_model_with_rounded_weights(name: str) -> None:
    torch.manual_seed(0)
    make, data = MODELS[name]
    model, x = make().eval(), data()
    with torch.no_grad():
        small = rebuilt(copy.deepcopy(model), int8(model), convert=True)
        assert torch.equal(small(x), by_hand(model)(x))
        assert not torch.equal(small(x), model(x))
        room = rebuilt(make().eval(), int8(model))
        room.load_state_dict(small.state_dict())
        assert torch.equal(room(x), small(x))
        assert torch.equal(copy.deepcopy(small)(x), small(x))


def test_what_is_tied_stays_tied_and_names_stay() -> None:
    model = Everything()
    names = [name for name, _ in model.named_parameters()]
    small = rebuilt(model, int8(model), convert=True)
    assert [name for name, _ in small.named_parameters()] == names
    state = small.state_dict()
    assert state["out.weight"].dtype is torch.int8
    assert state["out.weight"].data_ptr() == state["table.weight"].data_ptr()
    assert has_int8_weights(small.get_submodule("out"))


def test_gradients_flow_through_it() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 1))
    small = rebuilt(copy.deepcopy(model), int8(model), convert=True)
    x = torch.randn(2, 8, requires_grad=True)
    small(x).sum().backward()
    assert x.grad is not None and torch.isfinite(x.grad).all()


def test_rows_of_nothing_but_zeros() -> None:
    model = nn.Linear(8, 3, bias=False)
    nn.init.zeros_(model.weight)
    small = rebuilt(copy.deepcopy(model), int8(model), convert=True)
    assert torch.equal(small(torch.ones(1, 8)), torch.zeros(1, 3))


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"3.weight": 0}, 'there is no module "3"'),
        ({"0.wieght": 0}, 'there is no parameter "0.wieght"'),
        ({"0.weight": 2}, 'the parameter "0.weight" has no axis 2'),
    ],
)
def test_what_does_not_fit(axes: dict[str, int], message: str) -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
    with pytest.raises(Misfit, match=message):
        rebuilt(model, [{"kind": "int8", "axes": axes}])


def test_weights_that_are_not_finite() -> None:
    model = nn.Linear(8, 3)
    nn.init.constant_(model.weight, float("inf"))
    with pytest.raises(Misfit, match="not finite"):
        rebuilt(model, int8(model), convert=True)
