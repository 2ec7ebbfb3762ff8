"""Batches cut from columns: where a dataset is made of tensors, no example has to be looked at."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Subset, TensorDataset

ColumnsAt = Callable[[Tensor], Any]
"""From int64 indices (B,), each in the range of the dataset, to the columns of a batch.

They are what ``DefaultCollator`` makes of those examples: kinds, dtypes, shapes and bits.
"""


def columns_of(dataset: Any) -> ColumnsAt | None:
    """How batches are cut from a dataset; None where it gives nothing but examples.

    Args:
        dataset: A ``TensorDataset``; a ``Subset`` of what batches can be cut from; or anything with
            a method ``columns_at(indices: list[int])``. What is derived from the first two may
            do as it likes with an example, and is asked for examples.
    """
    if type(dataset) is TensorDataset:
        return partial(_rows, dataset) if all(map(_is_plain, dataset.tensors)) else None
    if type(dataset) is Subset:
        inner, positions = columns_of(dataset.dataset), _positions(dataset)
        if inner is None or positions is None:
            return None
        return partial(_rows_at, inner, positions)
    if hasattr(type(dataset), "columns_at_rows"):  # a cache of ours takes the indices as they are
        return partial(type(dataset).columns_at_rows, dataset)
    return partial(_asked, dataset) if callable(getattr(dataset, "columns_at", None)) else None


def _is_plain(tensor: Tensor) -> bool:
    """Whether rows taken together are what they are when taken one by one and stacked."""
    is_dense = tensor.layout is torch.strided and tensor.is_contiguous()
    is_itself = not (tensor.requires_grad or tensor.is_conj() or tensor.is_neg())
    return type(tensor) is Tensor and is_dense and is_itself and not tensor.is_quantized


def _positions(subset: Subset[Any]) -> Tensor | None:
    """The indices of a subset, int64 (N,), where they are plain ones."""
    indices = subset.indices
    if type(indices) is not list or set(map(type, indices)) != {int}:
        return None
    if min(indices) < 0 or max(indices) >= len(subset.dataset):  # type: ignore[arg-type]
        return None
    return torch.tensor(indices)


def _rows(dataset: TensorDataset, indices: Tensor) -> list[Tensor]:
    # Copied to a GPU without waiting: a loop that waits there for each batch stands still.
    return [
        column.index_select(
            0, indices if column.is_cpu else indices.to(column.device, non_blocking=True)
        )
        for column in dataset.tensors
    ]


def _rows_at(inner: ColumnsAt, positions: Tensor, indices: Tensor) -> Any:
    return inner(positions.index_select(0, indices))


def _asked(dataset: Any, indices: Tensor) -> Any:
    return dataset.columns_at(indices.tolist())
