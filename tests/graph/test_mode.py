"""Train and eval mode of many modules at once."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from torchassistant.graph.mode import evaluating, mode_dependent


def test_every_part_has_its_mode_again_whatever_happens() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(), nn.BatchNorm1d(2))
    net[2].eval()
    with pytest.raises(ZeroDivisionError), evaluating([net]):
        assert not any(part.training for part in net.modules())
        assert not torch.is_grad_enabled()
        raise ZeroDivisionError
    assert [part.training for part in net.modules()] == [True, True, True, False]
    assert torch.is_grad_enabled()


def test_what_does_other_things_in_train_mode_is_named() -> None:
    parts = [nn.Dropout(0.0), nn.Dropout2d(0.1), nn.BatchNorm2d(3), nn.InstanceNorm1d(3)]
    parts += [nn.LSTM(1, 1, 2, dropout=0.5), nn.GRU(1, 1), nn.MultiheadAttention(2, 1, 0.1)]
    assert mode_dependent(nn.ModuleList(parts)) == [
        *("BatchNorm2d", "Dropout2d", "LSTM", "MultiheadAttention")
    ]
