"""Orders and cycles of small graphs, and of a chain that is longer than Python's stack."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from torchassistant.config.toposort import cycles, postorder, reachable, topological_order

LONG = {i: [i + 1] for i in range(20_000)} | {20_000: []}
graphs = st.dictionaries(st.integers(0, 6), st.lists(st.integers(0, 6), max_size=4))


def test_the_order_is_that_of_the_graph_where_nothing_demands_another() -> None:
    assert topological_order({"c": ["a"], "b": [], "a": ["port"]}) == ["b", "a", "c"]
    assert list(postorder("cb", {"c": ["a", "b"], "b": ["a"], "a": []}.__getitem__)) == [*"abc"]


def test_a_long_chain_needs_no_stack() -> None:
    assert topological_order(LONG) == list(LONG)[::-1]
    assert list(postorder(LONG, LONG.__getitem__)) == list(LONG)[::-1]
    assert list(cycles(LONG)) == []
    assert len(reachable(0, LONG)) == 20_000


@given(graphs)
def test_orders_and_cycles_agree(graph: dict[int, list[int]]) -> None:
    found = list(cycles(graph))
    for cycle in found:
        for one, other in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            assert other in graph[one]
    assert len({node for cycle in found for node in cycle}) == sum(map(len, found))
    assert bool(found) == any(node in reachable(node, graph) for node in graph)
    for order in (
        topological_order(graph),
        list(postorder(graph, lambda node: [n for n in graph[node] if n in graph])),
    ):
        assert sorted(order) == sorted(graph)
        before: set[int] = set()
        for node in order:
            assert found or graph.keys() & set(graph[node]) <= before
            before.add(node)
