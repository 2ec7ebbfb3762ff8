"""On the CPU, ``deterministic`` changes nothing; tests/gpu shows what it does on a GPU."""

from __future__ import annotations

import torch
from torch import nn

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
