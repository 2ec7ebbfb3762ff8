"""Layers that have lost channels: their sizes are stored, and rebuilt."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from torchassistant.rebuilding import Misfit, difference_of_structure, rebuilt


def net(width: int) -> nn.Module:
    layers = [nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(width * 16, 4))


def test_the_sizes_make_a_round_trip() -> None:
    torch.manual_seed(0)
    small, x = net(5).eval(), torch.randn(2, 3, 4, 4)
    modules = difference_of_structure(net(8), small)
    assert modules["0"] == {
        "attributes": {"out_channels": 5},
        "shapes": {"weight": [5, 3, 3, 3], "bias": [5]},
    }
    assert set(modules) == {"0", "1", "4"}
    room = rebuilt(net(8).eval(), [{"kind": "pruned", "modules": modules}])
    room.load_state_dict(small.state_dict())
    assert torch.equal(room(x), small(x))
    assert repr(room) == repr(small)


def test_which_weights_stay_is_not_stored() -> None:
    step = {"kind": "pruned", "modules": {}}
    with pytest.raises(Misfit, match="which channels were left out is not known"):
        rebuilt(net(8), [step], convert=True)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"attributes": {"bias": 3}, "shapes": {}}, '"0" has no size "bias"'),
        ({"attributes": {}, "shapes": {"wieght": [1]}}, '"0" has no parameter or buffer "wieght"'),
    ],
)
def test_what_does_not_fit(sizes: dict[str, object], message: str) -> None:
    with pytest.raises(Misfit, match=message):
        rebuilt(net(8), [{"kind": "pruned", "modules": {"0": sizes}}])
