"""Says which package a tracker needs that is not installed, and how to get it."""

from __future__ import annotations

from importlib.util import find_spec

from torchassistant.trackers.tracker import Tracker


def missing_package(tracker: type[Tracker]) -> str | None:
    """A sentence about the first package that is missing; None where all are there.

    Nothing is imported.
    """
    for name in tracker.packages:
        found = find_spec(name)
        # A folder of that name is no package.
        if found is None or found.origin is None:
            return (
                f'the package "{name}" is not installed; '
                f'pip install "torchassistant[{tracker.extra}]" installs it'
            )
    return None
