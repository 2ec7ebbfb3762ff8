"""Pictures of tensors: what has one, how large it is, and where it is dark."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from torchassistant.trackers.drawing import as_png, drawing_of


def pixels(value):
    draw = drawing_of(value)
    assert draw is not None
    found = draw()
    assert found.dtype == np.uint8
    assert found.ndim == 3
    assert found.shape[2] == 3
    assert as_png(found).startswith(b"\x89PNG")
    return found


def test_a_matrix_is_white_where_it_is_0_and_dark_where_it_is_largest():
    found = pixels(torch.tensor([[0, 10], [5, 0]]))
    assert found.shape == (96, 96, 3)
    assert found[2, 2].tolist() == [255, 255, 255]
    assert found[2, 50].tolist() == [8, 48, 107]
    assert found[2, 50].sum() < found[50, 2].sum() < found[2, 2].sum()


def test_a_large_matrix_has_a_pixel_for_each_number():
    assert pixels(torch.rand(900, 1000)).shape == (900, 1000, 3)


def test_several_matrices_stand_side_by_side():
    assert pixels(torch.ones(3, 2, 2, dtype=torch.bool)).shape == (96, 3 * 96 + 2 * 8, 3)


def test_numbers_are_bars():
    found = pixels(torch.tensor([0.0, 0.5, 1.0]))
    filled = (found[:, [10, 42, 74]] != 255).any(axis=2).sum(axis=0)
    assert filled[0] <= 2 < filled[1] < filled[2] == len(found)


@pytest.mark.parametrize(
    "curve",
    [
        [torch.linspace(0, 1, 9), torch.linspace(0, 1, 9) ** 2, torch.rand(9)],
        [[torch.rand(4), torch.rand(7)], [torch.rand(4), torch.rand(7)], [torch.rand(4)] * 2],
        [torch.rand(3, 5), torch.rand(3, 5)],
    ],
)
def test_lists_are_curves(curve):
    assert (pixels(curve) != 255).any()


def test_what_is_not_finite_is_drawn_as_0():
    found = pixels(torch.tensor([[float("nan"), float("inf")], [1.0, 0.0]]))
    assert found[2, 2].tolist() == found[2, 50].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    "value",
    [
        torch.zeros(0, 3),
        torch.tensor(1.0),
        torch.zeros(1),
        torch.zeros(2, 2, 2, 2),
        torch.zeros(2, 2, dtype=torch.complex64),
        torch.zeros(1025, 1025),
        [torch.rand(3)],
        [torch.rand(3), torch.rand(4)],
        [],
    ],
)
def test_the_rest_has_no_picture(value):
    assert drawing_of(value) is None
