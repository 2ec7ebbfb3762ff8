"""Batch processors without a network."""

from __future__ import annotations

import torch

from torchassistant.batch_processors import DetachBatch


def test_tensors_are_detached_and_lists_are_left():
    weight = torch.ones(2, requires_grad=True)
    labels = [weight]
    frame = {"x": weight * 2, "labels": labels}
    detached = DetachBatch()(frame)
    assert list(detached) == ["x", "labels"]
    assert not detached["x"].requires_grad
    assert torch.equal(detached["x"], frame["x"])
    assert detached["x"].data_ptr() == frame["x"].data_ptr()
    assert detached["labels"] is labels


def test_the_frame_that_came_in_is_left_alone():
    weight = torch.ones(2, requires_grad=True)
    frame = {"x": weight * 2}
    DetachBatch()(frame)
    frame["x"].sum().backward()
    assert weight.grad.tolist() == [2, 2]
