"""The learning rates of optimizers, by the columns of rows that show them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from torch.optim import Optimizer


class LearningRates:
    """The learning rates of optimizers, in columns that are those of the groups of now.

    A column is ``lr/OPTIMIZER``, or ``lr/OPTIMIZER/GROUP`` of one with several groups. A group
    without a name, or with that of another, is called by its place, from 0. Groups that code of the
    user adds later have no column, as those of a history are fixed.

    Args:
        optimizers: By name.

    Attributes:
        columns: Of all groups that have a learning rate.
    """

    def __init__(self, optimizers: Mapping[str, Optimizer]) -> None:
        self._groups = {name: len(one.param_groups) for name, one in optimizers.items()}
        self._places = [
            (column, name, index)
            for name, one in optimizers.items()
            for index, column in _columns_of(name, one)
        ]
        self.columns = [column for column, _, _ in self._places]

    def of(self, optimizers: Mapping[str, Optimizer]) -> dict[str, float]:
        """The learning rates as they are now, by column.

        Args:
            optimizers: The same. A rate that is a tensor on a GPU is waited for.
        """
        groups = {name: one.param_groups for name, one in optimizers.items()}
        return {
            column: float(groups[name][index]["lr"])
            for column, name, index in self._places
            if index < len(groups[name])
        }

    def later(self, optimizers: Mapping[str, Optimizer]) -> list[str]:
        """The groups that have no column, as they were added since: ``OPTIMIZER/GROUP``."""
        return [
            f"{name}/{_shown(group, index)}"
            for name, one in optimizers.items()
            for index, group in enumerate(one.param_groups)
            if index >= self._groups[name]
        ]


def _columns_of(name: str, optimizer: Optimizer) -> Iterator[tuple[int, str]]:
    """The places of the groups of parameters that have a learning rate, with their columns."""
    groups = optimizer.param_groups
    times = Counter(group.get("name") for group in groups)
    for index, group in enumerate(groups):
        if "lr" in group:
            shown = _shown(group, index) if times[group.get("name")] == 1 else index
            yield index, f"lr/{name}" if len(groups) == 1 else f"lr/{name}/{shown}"


def _shown(group: Mapping[str, Any], index: int) -> str | int:
    own = group.get("name")
    return own if isinstance(own, str) else index
