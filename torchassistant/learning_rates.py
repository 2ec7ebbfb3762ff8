"""The learning rates of optimizers, by the columns of rows that show them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from torch.optim import Optimizer

Groups = Iterator[tuple[str, Mapping[str, Any]]]


def rate_columns(optimizers: Mapping[str, Optimizer]) -> list[str]:
    """The columns of the learning rates of optimizers, which are given by name."""
    return [column for name, one in optimizers.items() for column, _ in _groups_of(name, one)]


def learning_rates(optimizers: Mapping[str, Optimizer]) -> dict[str, float]:
    """The learning rates of optimizers as they are now.

    Args:
        optimizers: By name. A rate that is a tensor on a GPU is waited for.

    Returns:
        By column: ``lr/OPTIMIZER``, or ``lr/OPTIMIZER/GROUP`` of one with several groups. A group
        without a name, or with that of another, is called by its place, from 0.
    """
    groups = (found for name, one in optimizers.items() for found in _groups_of(name, one))
    return {column: float(group["lr"]) for column, group in groups}


def _groups_of(name: str, optimizer: Optimizer) -> Groups:
    """The groups of parameters that have a learning rate, with their columns."""
    groups = optimizer.param_groups
    if len(groups) == 1:
        if "lr" in groups[0]:
            yield f"lr/{name}", groups[0]
        return
    times = Counter(group.get("name") for group in groups)
    for index, group in enumerate(groups):
        own = group.get("name")
        shown = own if isinstance(own, str) and times[own] == 1 else index
        if "lr" in group:
            yield f"lr/{name}/{shown}", group
