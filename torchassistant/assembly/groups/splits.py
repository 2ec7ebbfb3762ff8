"""Splits: drawn when the session is created, and read from it ever after."""

from __future__ import annotations

from typing import Any

import torch

from torchassistant.assembly.build_context import BuildContext, Defined
from torchassistant.assembly.groups.assembler import Assembler, no_members
from torchassistant.data import (
    Labels,
    Split,
    column_codes,
    derived,
    fold_indices,
    labelled_slices,
    seeded,
    split_indices,
)
from torchassistant.errors import DataError


def _build(context: BuildContext, one: Defined) -> Split:
    spec, fitted = one.spec, context.fitted
    dataset = context.parts.dataset(spec.dataset_name)
    count = len(dataset)
    indices = fitted.splits.get(one.name)
    fits = indices is not None and sum(map(len, indices)) == count
    if indices is not None and len(indices) != spec.count and not fitted.redraws:
        raise DataError(f"{one.what} has {spec.count} slices, and {len(indices)} are stored")
    if indices is not None and not fits and not fitted.redraws:
        raise DataError(
            f"{one.what} was drawn over {sum(map(len, indices))} examples; the dataset "
            f'"{spec.dataset_name}" has {count} now'
        )
    if indices is None or not fits:
        seed = derived(context.parts.seed, "splits", one.name)
        try:
            with seeded(seed):  # examples may be drawn at random when they are looked at
                labels = Labels(_codes(dataset, spec.stratify), _codes(dataset, spec.group_by))
            indices = _drawn(spec, count, seed, labels)
        except DataError as error:
            raise context.maker.problem(f"{one.what}: {error}", one.path) from None
        except ImportError as error:
            if error.name != "sklearn":
                raise
            needs = '"stratify" and "folds" with "group_by" need scikit-learn'
            how = 'pip install "torchassistant[splits]"'
            raise context.maker.problem(f"{one.what}: {needs}: {how}", one.path) from None
    fitted.splits[one.name] = indices
    return Split(dataset, indices)


def _codes(dataset: Any, column: int | str | None) -> Any:
    return None if column is None else column_codes(dataset, column)


def _drawn(spec: Any, count: int, seed: int, labels: Labels) -> list[torch.Tensor]:
    if spec.folds is not None:
        return fold_indices(count, spec.folds, spec.fold or 0, seed, labels)
    if labels.are_none:
        return split_indices(count, spec.ratio, seed)
    return labelled_slices(count, spec.ratio, seed, labels)


SPLITS = Assembler(_build, no_members)
