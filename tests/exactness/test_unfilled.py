"""Models that are built without the values of their parameters."""

from __future__ import annotations

import types

import pytest
import torch
from torch import nn
from unfilled_parts import Asking, Deriving, Tied

from torchassistant.assembly.unfilled import give_memory, only_lacks_parameters, unfilled


def test_parameters_hold_no_memory_and_all_else_does() -> None:
    with unfilled():
        model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
        model[0].bias.requires_grad_(False)
    assert all(parameter.is_meta for parameter in model.parameters())
    assert torch.equal(model[1].running_var, torch.ones(3))
    assert only_lacks_parameters(model)
    assert not any(parameter.is_meta for parameter in nn.Linear(1, 1).parameters())


def test_what_is_not_put_in_is_not_a_number() -> None:
    with unfilled():
        model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
        model[0].bias.requires_grad_(False)
    give_memory(model)
    assert all(parameter.isnan().all() for parameter in model.parameters())
    assert [parameter.requires_grad for parameter in model.parameters()] == [
        True,
        False,
        True,
        True,
    ]
    assert torch.equal(model[1].running_var, torch.ones(3))
    give_memory(model[1])
    assert model(torch.ones(2, 4)).isnan().all()


def test_one_parameter_in_two_places_stays_one() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            both = nn.Parameter(torch.ones(2))
            self.one, self.other = both, both

    with unfilled():
        models = Tied(), Twice()
    for model in models:
        give_memory(model)
    assert models[0].back.weight is models[0].again.weight
    assert models[1].one is models[1].other


def test_what_an_object_of_a_module_keeps_is_found_out_too() -> None:
    class Keeping(nn.Module):
        def __init__(self, derives: bool) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)
            self.kept = types.SimpleNamespace(all=[])
            self.kept.all += [self.kept, self.layer.weight.detach()] if derives else []

    with unfilled():
        assert only_lacks_parameters(Keeping(derives=False))
        assert not only_lacks_parameters(Keeping(derives=True))


def test_what_needs_values_is_found_out() -> None:
    with unfilled():
        assert not only_lacks_parameters(Deriving())
        with pytest.raises(RuntimeError, match="meta tensors"):
            Asking()
