"""Circles in what has to have an order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

K = TypeVar("K")


def circles_in(graph: Mapping[K, Iterable[K]]) -> Iterator[list[K]]:
    """Circles of a graph, none with a part of another; each node of one leads to the next.

    A loop and not a recursion, because a chain may be longer than Python's stack.

    Args:
        graph: Where each node leads to.
    """
    done: set[K] = set()
    for root in graph:
        trail: dict[K, Iterator[K]] = {} if root in done else {root: iter(graph[root])}
        while trail:
            name = next(reversed(trail))
            following = next(trail[name], None)
            if following is None:
                done.add(name)
                del trail[name]
            elif following in trail:
                circle = _cut(trail, following)
                done.update(circle)
                yield circle
            elif following in graph and following not in done:
                trail[following] = iter(graph[following])


def _cut(trail: dict[K, Iterator[K]], first: K) -> list[K]:
    """Take the end of a trail, from ``first`` on, off it."""
    circle: list[K] = []
    while first in trail:
        circle.append(trail.popitem()[0])
    return circle[::-1]


def led_to(goal: K, graph: Mapping[K, Iterable[K]]) -> set[K]:
    """Every node from which a node is reached, at one or several removes.

    Args:
        goal: The node that is reached.
        graph: Where each node leads to.
    """
    found: set[K] = set()
    before = -1
    while before < len(found):
        before = len(found)
        found |= {one for one, others in graph.items() if found.union((goal,)) & {*others}}
    return found


def odd_one(circle: Sequence[K], places: Mapping[K, Any]) -> tuple[K, K]:
    """The step of a circle that is most likely wrong: from who uses, to what is used.

    What is used stands mostly above; where all but one step of a circle go down, it is that one.

    Args:
        circle: Each uses the next, and the last the first.
        places: Where each stands.
    """
    steps = list(zip(circle, [*circle[1:], circle[0]], strict=True))
    up = [(one, other) for one, other in steps if places[one] > places[other]]
    down = [(one, other) for one, other in steps if places[one] <= places[other]]
    return up[0] if len(up) == 1 and len(down) > 1 else down[0]


def shown(names: Sequence[str]) -> str:
    """A circle as text, cut where it is long."""
    cut = ["…"] if len(names) > _SHOWN else []
    return " → ".join([*names[:_SHOWN], *cut, names[0]])


_SHOWN = 12
