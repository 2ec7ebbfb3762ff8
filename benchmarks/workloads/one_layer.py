"""One linear layer, batches of 32, Adam: nearly all of an iteration is overhead."""

from __future__ import annotations

from benchmarks.alternation import against_loops
from benchmarks.figures import Figure
from benchmarks.tasks import one_layer


def measure(quick: bool) -> list[Figure]:
    """Over a dataset written in Python, and over torch's ``TensorDataset``."""
    examples, rounds = (640, 2) if quick else (16_000, 15)
    figures = []
    for dataset, shown in [("Examples", "a dataset"), ("tensor_examples", "a TensorDataset")]:
        task = one_layer(examples, dataset)
        figures += against_loops(task, rounds, f"one layer, {shown}", target=1.0)
    return figures
