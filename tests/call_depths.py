"""What calls cost, by how deep they are: Python's stack has borders."""

from __future__ import annotations

import resource


def most_faults(depths: int) -> int:
    """The most pages that the system has to find for 200 calls from one of so many depths."""
    if not depths:
        return 0
    _call()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    _call()
    here = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return max(here, most_faults(depths - 1))


def _call() -> None:
    for _ in range(200):
        _go_down(5)  # further than from one depth to the next, so that no border is left out


def _go_down(levels: int) -> None:
    if levels:
        _go_down(levels - 1)
