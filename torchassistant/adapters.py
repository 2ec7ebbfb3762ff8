"""Input adapters: from a data frame to the inputs of each node of a batch processor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from torchassistant.earlier_names import answering_for
from torchassistant.errors import DataError, listing

__getattr__ = answering_for(__name__)


def missing_column(column: str, frame: Iterable[str], wanted: str) -> DataError:
    """The error for a column that a data frame does not have.

    Args:
        column: The name that was looked for.
        frame: The names that there are.
        wanted: Who looked for it, as the start of a sentence.
    """
    names = list(frame)
    close = get_close_matches(column, names, n=1)
    hint = f' Did you mean "{close[0]}"?' if close else ""
    there = f"has {listing(names)}" if names else "is empty"
    return DataError(f'{wanted} column "{column}", which is missing.{hint} The data frame {there}.')


def is_names_to_names(value: object) -> bool:
    """Whether this is a dict whose values are all strings, as JSON gives it."""
    return isinstance(value, Mapping) and all(isinstance(name, str) for name in value.values())


class SelectInputs:
    """Gives each node the columns that it is to read.

    Args:
        nodes: For each node its inputs, as input name to column name:
            ``{"LeNet5": {"x": "images"}}``.

    Raises:
        ValueError: ``nodes`` is not of that form.
    """

    def __init__(self, nodes: Mapping[str, Mapping[str, str]]) -> None:
        if not isinstance(nodes, Mapping):
            raise ValueError(f"nodes must map node names to inputs, found {nodes!r}")
        for node, inputs in nodes.items():
            if not is_names_to_names(inputs):
                raise ValueError(
                    f'node "{node}": expected input names with column names, found {inputs!r}'
                )
        self.nodes = {node: dict(inputs) for node, inputs in nodes.items()}

    def __call__(self, frame: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Pick the columns: ``{node name: {input name: value}}``. Nothing is copied.

        Raises:
            DataError: The frame lacks a column.
        """
        try:
            return {
                node: {name: frame[column] for name, column in inputs.items()}
                for node, inputs in self.nodes.items()
            }
        except KeyError:
            raise self._missing(frame) from None

    def _missing(self, frame: Mapping[str, Any]) -> DataError:
        node, name, column = next(
            (node, name, column)
            for node, inputs in self.nodes.items()
            for name, column in inputs.items()
            if column not in frame
        )
        return missing_column(column, frame, f'input "{name}" of node "{node}" is to be the')
