"""Circles in what has to have an order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import TypeVar

K = TypeVar("K")


def circles_in(graph: Mapping[K, set[K]]) -> Iterator[list[K]]:
    """Circles of a graph, each once; every node of one leads to the next."""
    left = {key: set(needed) for key, needed in graph.items()}
    while True:
        try:
            TopologicalSorter(left).prepare()
            return
        except CycleError as error:
            circle: list[K] = error.args[1]
            yield list(reversed(circle))
            for key in circle:
                left[key] = set()
