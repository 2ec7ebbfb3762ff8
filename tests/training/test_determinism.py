"""On the CPU, ``deterministic`` changes nothing; tests/gpu shows what it does on a GPU."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from torchassistant.training import determinism
from torchassistant.training.determinism import (
    draw_dropout_from_torch,
    use_deterministic_kernels,
    with_hidden_draws,
)


def test_the_settings_of_the_process_stay_as_they_are_on_the_cpu() -> None:
    before = torch.are_deterministic_algorithms_enabled()
    use_deterministic_kernels(torch.device("cpu"))
    assert torch.are_deterministic_algorithms_enabled() == before


def test_only_cudnn_draws_what_is_hidden() -> None:
    model = nn.Sequential(nn.LSTM(2, 3, num_layers=2, dropout=0.5))
    assert list(with_hidden_draws(model)) == []
    before = model(torch.ones(1, 4, 2))[0].shape
    draw_dropout_from_torch([model])
    assert model(torch.ones(1, 4, 2))[0].shape == before
    assert torch.backends.cudnn.enabled


class Seeing(nn.LSTM):
    """Notes whether cuDNN may be used while it runs; an input of another width raises."""

    seen = True

    def forward(self, *given: torch.Tensor) -> object:
        self.seen = torch.backends.cudnn.enabled
        return super().forward(*given)


@pytest.mark.parametrize("before", [True, False])
def test_cudnn_is_left_for_the_layer_alone(before: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it was before, and whatever the layer raises."""
    monkeypatch.setattr(
        determinism, "with_hidden_draws", lambda model: [("", model)]
    )  # as on a GPU
    monkeypatch.setattr(torch.backends.cudnn, "enabled", before)
    first = Seeing(2, 3, num_layers=2, dropout=0.5)
    draw_dropout_from_torch([first])
    for layer in (first, copy.deepcopy(first)):
        layer(torch.ones(4, 1, 2))
        assert (layer.seen, torch.backends.cudnn.enabled) == (False, before)
        with pytest.raises(RuntimeError):
            layer(torch.ones(4, 1, 5))
        assert torch.backends.cudnn.enabled == before
