"""Layers as two of a lower rank: nearest, smaller, and rebuilt from what is stored."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from torchassistant.rebuilding import Misfit, ranks_within, rebuilt, suits_low_rank


def model_and_data() -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(144, 20), nn.Linear(20, 4)), torch.randn(2, 3, 6, 6)


def test_the_full_rank_is_the_same_layer() -> None:
    model, x = model_and_data()
    ranks = {"0": 16, "3": 20, "4": 4}
    same = rebuilt(copy.deepcopy(model), [{"kind": "low_rank", "ranks": ranks}], convert=True)
    torch.testing.assert_close(same(x), model(x))
    torch.testing.assert_close(same[0].weight, model[0].weight)
    assert same[3].bias is same[3].second.bias


def test_the_product_is_the_nearest_of_its_rank() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(12, 10)
    small = rebuilt(copy.deepcopy(layer), [{"kind": "low_rank", "ranks": {"": 3}}], convert=True)
    lost = torch.linalg.svdvals(layer.weight)[3:].square().sum()
    torch.testing.assert_close((small.weight - layer.weight).square().sum(), lost)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_no_more_than_a_share_is_left(share: float) -> None:
    model, x = model_and_data()
    ranks = ranks_within(model, share)
    step = [{"kind": "low_rank", "ranks": ranks}]
    small = rebuilt(copy.deepcopy(model), step, convert=True)

    def weights(one: nn.Module) -> int:
        return sum(p.numel() for p in one.parameters() if p.ndim > 1)

    assert weights(model) * share * 0.7 < weights(small) <= weights(model) * share
    room = rebuilt(copy.deepcopy(model), step)
    room.load_state_dict(small.state_dict())
    assert torch.equal(room(x), small(x))


def test_what_stays_as_it_is() -> None:
    assert not suits_low_rank(nn.Conv2d(4, 4, 3, groups=2))
    assert not suits_low_rank(nn.Conv2d(4, 4, 3, padding="same"))
    assert not suits_low_rank(nn.MultiheadAttention(8, 2).out_proj)
    tied = nn.Sequential(nn.Linear(40, 40), nn.Linear(40, 40))
    tied[1].weight = tied[0].weight
    assert ranks_within(tied, 0.2) == {}


@pytest.mark.parametrize(
    ("ranks", "message"),
    [({"1": 2}, '"1" is no linear'), ({"3": 21}, 'the layer "3" has no rank 21')],
)
def test_what_does_not_fit(ranks: dict[str, int], message: str) -> None:
    model, _ = model_and_data()
    with pytest.raises(Misfit, match=message):
        rebuilt(model, [{"kind": "low_rank", "ranks": ranks}])
