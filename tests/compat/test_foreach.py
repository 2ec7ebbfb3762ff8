"""Copies of many tensors at once, with torch's private call and without it."""

from __future__ import annotations

import pytest
import torch

from torchassistant.compat.foreach import copy_all


@pytest.mark.parametrize("is_there", [True, False])
def test_many_are_copied(monkeypatch: pytest.MonkeyPatch, is_there: bool) -> None:
    if not is_there:
        monkeypatch.delattr(torch, "_foreach_copy_")
    sources = [torch.arange(3.0), torch.tensor(7), torch.ones(2, 2, requires_grad=True)]
    targets = [torch.zeros(3), torch.tensor(0), torch.zeros(2, 2)]
    copy_all(targets, sources)
    assert all(map(torch.equal, targets, sources))
    assert not any(target.requires_grad for target in targets)
    copy_all([], [])
