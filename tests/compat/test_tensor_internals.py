"""What torch keeps private about tensors, and the public ways beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from torchassistant.compat import tensor_internals

# torch warns that it will drop them; sessions may hold some.
pytestmark = pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")


@pytest.fixture(params=[True, False], ids=["private", "public"])
def is_there(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the private names are there; else they are taken away."""
    if not request.param:
        monkeypatch.setattr(tensor_internals, "_VERSION", "_taken_away")
        monkeypatch.setattr(tensor_internals, "_HOOKS", "_taken_away")
        monkeypatch.setattr(tensor_internals, "_PARTS", ("_taken_away", "_taken_away"))
        monkeypatch.delattr(torch, "_make_per_tensor_quantized_tensor")
        monkeypatch.delattr(torch, "_make_per_channel_quantized_tensor")
    return bool(request.param)


ENTRIES = torch.tensor([[0, 2, 2]]), torch.tensor([1.0, 2.0, 3.0])
SPARSE = torch.sparse_coo_tensor(*ENTRIES, (4,), check_invariants=True)


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.ones(3),
        lambda: torch.ones(2, 3).T,
        lambda: torch.ones(1).expand(4),
        lambda: torch.tensor(True),
    ],
    ids=["row", "transposed", "expanded", "scalar"],
)
def test_a_version_changes_with_what_is_written(
    is_there: bool, make: Callable[[], torch.Tensor]
) -> None:
    tensor = make()
    before = tensor_internals.version_of(tensor)
    assert tensor_internals.version_of(tensor) == before
    tensor.add(1)
    assert tensor_internals.version_of(tensor) == before
    written = tensor if tensor.stride() != (0,) else tensor[:1]
    written.zero_()
    assert tensor_internals.version_of(tensor) != before


def test_a_version_of_a_sparse_tensor(is_there: bool) -> None:
    tensor = SPARSE.clone()
    before = tensor_internals.version_of(tensor)
    tensor.mul_(2)
    assert tensor_internals.version_of(tensor) != before


def test_hooks_of_a_tensor(is_there: bool) -> None:
    tensor = torch.ones(1, requires_grad=True)
    assert tensor_internals.backward_hooks_of(tensor) == []

    def hook(gradient: Any) -> None:
        """Nothing."""

    tensor.register_hook(hook)
    assert tensor_internals.backward_hooks_of(tensor) == ([hook] if is_there else [])


def test_the_parts_of_a_sparse_tensor(is_there: bool) -> None:
    indices, values, is_coalesced = tensor_internals.sparse_parts(SPARSE)
    assert is_coalesced is not is_there
    assert indices.tolist() == ([[0, 2, 2]] if is_there else [[0, 2]])
    again = torch.sparse_coo_tensor(indices, values, SPARSE.shape, check_invariants=True)
    assert torch.equal(again.to_dense(), SPARSE.to_dense())


@pytest.mark.parametrize("kind", [torch.qint8, torch.quint8, torch.qint32])
def test_a_quantized_tensor_of_its_integers(is_there: bool, kind: torch.dtype) -> None:
    made = torch.quantize_per_tensor(torch.randn(3, 4), 0.01, 10, kind)
    again = tensor_internals.quantized(made.int_repr()[1:], made.q_scale(), made.q_zero_point())
    assert again.dtype is kind
    assert (again.q_scale(), again.q_zero_point()) == (made.q_scale(), made.q_zero_point())
    assert torch.equal(again.int_repr(), made.int_repr()[1:])


def test_a_tensor_quantized_by_channel_of_its_integers(is_there: bool) -> None:
    scales, zeros = torch.tensor([0.1, 0.02], dtype=torch.float64), torch.tensor([3, -4])
    made = torch.quantize_per_channel(torch.randn(3, 2), scales, zeros, 1, torch.qint8)
    again = tensor_internals.quantized_by_channel(
        made.int_repr(), made.q_per_channel_scales(), made.q_per_channel_zero_points(), 1
    )
    assert torch.equal(again.int_repr(), made.int_repr())
    assert torch.equal(again.q_per_channel_scales(), scales)
    assert torch.equal(again.dequantize(), made.dequantize())
    assert again.q_per_channel_axis() == 1


def test_a_view_is_known() -> None:
    whole = torch.zeros(2, 3)
    assert tensor_internals.is_view(whole.T)
    assert not tensor_internals.is_view(whole)
