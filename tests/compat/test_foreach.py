"""What is done to many tensors at once, with torch's private calls and without them."""

from __future__ import annotations

import pytest
import torch

from torchassistant.compat.foreach import copy_all, lerp_all


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


@pytest.mark.parametrize("is_there", [True, False])
def test_many_are_moved(monkeypatch: pytest.MonkeyPatch, is_there: bool) -> None:
    if not is_there:
        monkeypatch.delattr(torch, "_foreach_lerp_")
    targets = [torch.rand(5, 3), torch.rand(7)]
    sources = [torch.rand(5, 3), torch.rand(7)]
    wanted = [target.lerp(source, 0.3) for target, source in zip(targets, sources, strict=True)]
    lerp_all(targets, sources, 0.3)
    assert all(map(torch.equal, targets, wanted))
