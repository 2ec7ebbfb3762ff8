"""Graphs of what needs what: an order in which it can be made, cycles, and what is reached.

Nothing here recurses: a chain may be longer than Python's stack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush
from typing import Any, TypeVar

K = TypeVar("K")

_MOST_SHOWN = 12
"""Nodes of a cycle."""


def topological_order(needs: Mapping[K, Iterable[K]]) -> list[K]:
    """Every node after those that it needs; of several that may come next, the first in the graph.

    Args:
        needs: What each node needs. What has no entry of its own is not in the graph. The nodes of
            cycles, and those behind them, come last, as they stand.
    """
    nodes = list(needs)
    place = {node: index for index, node in enumerate(nodes)}
    sorter = TopologicalSorter({node: place.keys() & set(needs[node]) for node in nodes})
    with suppress(CycleError):  # what can be put in order is given all the same
        sorter.prepare()
    order: list[K] = []
    ready: list[int] = []
    while sorter.is_active():
        for node in sorter.get_ready():
            heappush(ready, place[node])
        order.append(nodes[heappop(ready)])
        sorter.done(order[-1])
    left = place.keys() - set(order)
    return [*order, *(node for node in nodes if node in left)]


def postorder(roots: Iterable[K], needs: Callable[[K], Iterable[K]]) -> Iterator[K]:
    """Some nodes and what they need, depth first: each right after those that it needs.

    Args:
        roots: Where to begin, in this order.
        needs: Gives what a node needs, in the order in which that is visited. Asked once a node;
            on a cycle, the step that closes it is left out.
    """
    seen: set[K] = set()
    for root in roots:
        trail: dict[K, Iterator[K]] = {} if root in seen else {root: iter(needs(root))}
        seen.add(root)
        while trail:
            node = next(reversed(trail))
            following = next((other for other in trail[node] if other not in seen), None)
            if following is None:
                del trail[node]
                yield node
            else:
                seen.add(following)
                trail[following] = iter(needs(following))


def cycles(graph: Mapping[K, Iterable[K]]) -> Iterator[list[K]]:
    """Cycles of a graph, none with a part of another; each node of one leads to the next.

    Args:
        graph: Where each node leads to. What has no entry of its own leads nowhere.
    """
    done: set[K] = set()
    for root in graph:
        trail: dict[K, Iterator[K]] = {} if root in done else {root: iter(graph[root])}
        while trail:
            node = next(reversed(trail))
            following = next(trail[node], None)
            if following is None:
                done.add(node)
                del trail[node]
            elif following in trail:
                cycle: list[K] = []
                while following in trail:
                    cycle.append(trail.popitem()[0])
                done.update(cycle)
                yield cycle[::-1]
            elif following in graph and following not in done:
                trail[following] = iter(graph[following])


def suspect_step(cycle: Sequence[K], places: Mapping[K, Any]) -> tuple[K, K]:
    """The step of a cycle that is most likely wrong: from who uses, to what is used.

    What is used stands mostly above; where all but one step of a cycle go down, it is that one.

    Args:
        cycle: Each uses the next, and the last the first.
        places: Where each stands.
    """
    steps = list(zip(cycle, [*cycle[1:], cycle[0]], strict=True))
    up = [(one, other) for one, other in steps if places[one] > places[other]]
    down = [(one, other) for one, other in steps if places[one] <= places[other]]
    return up[0] if len(up) == 1 and len(down) > 1 else down[0]


def cycle_text(names: Sequence[str]) -> str:
    """A cycle as text, cut where it is long."""
    cut = ["…"] if len(names) > _MOST_SHOWN else []
    return " → ".join([*names[:_MOST_SHOWN], *cut, names[0]])


def reachable(start: K, graph: Mapping[K, Iterable[K]]) -> set[K]:
    """Every node that one leads to, at one or several removes; itself, where it is on a cycle.

    Args:
        start: Where to begin.
        graph: Where each node leads to. What has no entry of its own leads nowhere.
    """
    found: set[K] = set()
    waiting = list(graph.get(start, ()))
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += graph.get(node, ())
    return found
