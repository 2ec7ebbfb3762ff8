"""Where the time of a command goes: ``python -m benchmarks.phases CONFIG SESSION_DIR``.

A process of its own does, one after the other, what ``init.py`` and ``train.py`` do until the first
iteration is done, and prints the seconds of each as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from torchassistant.compat.python import with_stack_room
from torchassistant.import_garbage import imports_uncollected, of_command

seconds: dict[str, float] = {}


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Times what is done in here."""
    began = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - began


class FirstIteration(Exception):
    """It is done; nobody wants a second one."""


def main(config: str, path: str) -> None:
    """Time all phases.

    Args:
        config: A file.
        path: Where the session is made.
    """
    with of_command():
        with phase("import torch"), imports_uncollected():
            import torch  # noqa: F401
        with phase("import the engine"), imports_uncollected():
            from torchassistant.session import Draft, load_session, store
            from torchassistant.training import Reporter

        with phase("init: read, check, import what the config names"):
            draft = Draft(config, trust=["benchmarks"])
        with phase("init: build, preflight, write the session"):
            store(draft, path)
        with phase("train: read the session, check, build, restore"):
            session = load_session(path, trust=["benchmarks"])

        class Until(Reporter):
            def iteration_done(self, live: Callable[[], dict[str, float]]) -> None:
                raise FirstIteration

        with phase("train: until the first iteration is done"), suppress(FirstIteration):
            session.train(Until())
    print(json.dumps(seconds))


if __name__ == "__main__":
    with_stack_room(lambda: main(*sys.argv[1:]))
