"""Splits: drawn when the session is created, and read from it ever after."""

from __future__ import annotations

from torchassistant.assembly.build_context import BuildContext, Defined
from torchassistant.assembly.groups.assembler import Assembler, no_members
from torchassistant.data import Split, derived, split_indices
from torchassistant.errors import DataError


def _build(context: BuildContext, one: Defined) -> Split:
    spec, fitted = one.spec, context.fitted
    dataset = context.parts.dataset(spec.dataset_name)
    count = len(dataset)
    indices = fitted.splits.get(one.name)
    fits = indices is not None and sum(map(len, indices)) == count
    if indices is not None and len(indices) != len(spec.ratio) and not fitted.redraws:
        raise DataError(f"{one.what} has {len(spec.ratio)} slices, and {len(indices)} are stored")
    if indices is not None and not fits and not fitted.redraws:
        raise DataError(
            f"{one.what} was drawn over {sum(map(len, indices))} examples; the dataset "
            f'"{spec.dataset_name}" has {count} now'
        )
    if indices is None or not fits:
        seed = derived(context.parts.seed, "splits", one.name)
        try:
            indices = split_indices(count, spec.ratio, seed)
        except DataError as error:
            raise context.maker.problem(f"{one.what}: {error}", one.path) from None
    fitted.splits[one.name] = indices
    return Split(dataset, indices)


SPLITS = Assembler(_build, no_members)
