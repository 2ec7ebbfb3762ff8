"""Buffers are put back, replaced ones too; elements that share memory are known."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from torchassistant.graph.buffers import buffers_of, elements_of, overlaps


def test_buffers_are_put_back() -> None:
    norm = nn.BatchNorm1d(2)
    norm.register_buffer("row", torch.ones(1).expand(3))
    mean, before = norm.running_mean, {k: v.clone() for k, v in norm.named_buffers()}
    put_back = buffers_of([norm, norm])
    norm(torch.randn(4, 2))
    norm.running_var = torch.full((5,), 7.0)
    norm.register_buffer("new", torch.ones(1))
    put_back()
    now = dict(norm.named_buffers())
    assert now.keys() == before.keys()
    assert all(torch.equal(now[name], before[name]) for name in before)
    assert norm.running_mean is mean


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        (torch.ones(2, 3), False),
        (torch.ones(2, 3).T, False),
        (torch.ones(3)[::2], False),
        (torch.ones(1).expand(4), True),
        (torch.ones(2, 1).expand(2, 3), True),
        (torch.ones(1).expand(1), False),
        (torch.ones(0, 1).expand(0, 3), False),
        (torch.eye(2).to_sparse(), False),
    ],
)
def test_elements_that_share_memory(tensor: torch.Tensor, expected: bool) -> None:
    assert overlaps(tensor) is expected
    assert not overlaps(elements_of(tensor))
