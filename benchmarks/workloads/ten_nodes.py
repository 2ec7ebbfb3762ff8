"""A chain of ten small nodes in one processor, each trained by an optimizer of its own."""

from __future__ import annotations

from benchmarks.alternation import against_loops
from benchmarks.figures import Figure
from benchmarks.tasks import nodes


def measure(quick: bool) -> list[Figure]:
    """Against ten modules called one after the other."""
    examples, rounds = (320, 2) if quick else (3_200, 15)
    return against_loops(nodes(10, examples), rounds, "ten nodes, ten optimizers", target=1.0)
