"""The shapes of columns, as a session keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Shapes:
    """The shapes of what went through a pipeline in its first batch.

    Args:
        stored: ``ports`` and ``nodes``, as ``shapes.json`` of a session holds them for a pipeline.
            What has another form is taken as unknown.
    """

    def __init__(self, stored: Any = None) -> None:
        self._stored = stored

    def of_port(self, port: str, column: str) -> str:
        """The shape of a column of a port; empty where it is not known."""
        return _shape(self._stored, "ports", port, column)

    def of_input(self, processor: str, node: str, name: str) -> str:
        """The shape of an input of a node; empty where it is not known."""
        return _shape(self._stored, "nodes", processor, node, "inputs", name)

    def of_output(self, processor: str, node: str, name: str) -> str:
        """The shape of an output of a node; empty where it is not known."""
        return _shape(self._stored, "nodes", processor, node, "outputs", name)


def _shape(data: Any, *keys: str) -> str:
    """What stands under some keys, as a text.

    >>> _shape({"a": {"b": [64, 10]}}, "a", "b")
    '64×10'
    >>> _shape({"a": {"b": []}}, "a", "b")
    'scalar'
    """
    for key in keys:
        data = data.get(key) if isinstance(data, Mapping) else None
    if not isinstance(data, list) or not all(isinstance(size, int) for size in data):
        return ""
    return "×".join(map(str, data)) or "scalar"
