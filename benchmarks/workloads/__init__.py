"""The workloads, each a module with a ``measure`` that gives figures."""

from __future__ import annotations

WORKLOADS = {
    "one-layer": "one_layer",
    "lenet": "lenet5",
    "ten-nodes": "ten_nodes",
    "gan": "gan",
    "epochs": "epochs",
    "commands": "commands",
    "two-processes": "two_processes",
    "logical-ranks": "logical_ranks",
    "more-nodes": "more_nodes",
    "more-pipelines": "more_pipelines",
    "long-run": "long_run",
    "boundary": "boundary",
    "kept": "kept",
    "start": "start",
    "memory": "memory",
    "options": "options",
    "memory-of-ranks": "memory_of_ranks",
    "averages": "averages",
    "listeners": "listeners",
}
"""The module of each workload that needs nothing but TorchAssistant."""

GPU = {"gpu": "gpu"}
"""Those that need a CUDA device."""

BEFORE = {"before": "before"}
"""Those that need an earlier version, from the repository."""

PEERS = {"peers": "peers"}
"""Those that need other systems."""
