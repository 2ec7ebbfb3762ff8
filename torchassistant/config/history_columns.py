"""Which columns a row of the history has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence


def row_columns(
    order: Sequence[str],
    trained: Mapping[str, Sequence[str]],
    validated: Mapping[str, Sequence[str]],
) -> dict[tuple[str, str], str]:
    """The column of each (pipeline, display name) that a row of a stage holds, in order.

    A validation pipeline's column is its display name. So is the column of a loss that is only
    computed in training, unless another pipeline of the stage shows the same name: then the
    pipeline's name stands before it.

    Args:
        order: The names of all pipelines, in the order of the config.
        trained: The display names of the losses of each training pipeline.
        validated: The display names of each validation pipeline.
    """
    only_trained = {name: shown for name, shown in trained.items() if name not in validated}
    taken = Counter(name for shown in only_trained.values() for name in set(shown))
    for names in validated.values():
        taken.update(names)
    columns: dict[tuple[str, str], str] = {}
    for pipeline in order:
        if pipeline in validated:
            columns |= {(pipeline, name): name for name in validated[pipeline]}
        elif pipeline in only_trained:
            for name in only_trained[pipeline]:
                columns[pipeline, name] = name if taken[name] == 1 else f"{pipeline} {name}"
    return columns
