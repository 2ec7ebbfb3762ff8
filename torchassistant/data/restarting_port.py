"""A port whose loader begins anew, as often as it takes, while those of other ports last."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping
from contextlib import closing
from typing import Any, NamedTuple

from torchassistant.data.loader_errors import guarded
from torchassistant.data.port import Port
from torchassistant.data.sampler_state import is_sampler_state

_REMEMBERED = 1024
APART = 2**20
"""The numbers that the order follows from are so far apart: no run has so many passes."""


class Start(NamedTuple):
    """Where the loader has begun.

    Args:
        again: How many times before, in the same pass.
        since: How many batches of the pass were there before.
        began_with: What its sampler was then.
    """

    again: int
    since: int
    began_with: Any


class RestartingPort:
    """The batches of a port, from any batch of a pass on, without an end.

    Args:
        port: The port.
    """

    def __init__(self, port: Port) -> None:
        self.port = port
        self.pass_number = 0
        self.starts: deque[Start] = deque(maxlen=_REMEMBERED)

    def start(self, number: int, done: int, state: Mapping[str, Any] | None) -> None:
        """Choose what :meth:`batches` gives.

        Args:
            number: Of the pass, from 0.
            done: So many batches of it are done already.
            state: What :meth:`state` gave in that pass.
        """
        self.pass_number = number
        self.starts.clear()
        start = Start(**state) if state is not None else Start(0, 0, None)
        self._begin(start, done - start.since)

    def state(self, done: int) -> dict[str, Any]:
        """What it takes to go on after so many batches of the pass."""
        return next(s for s in reversed(self.starts) if s.since <= done)._asdict()

    def batches(self) -> Generator[tuple[Any, int | None], None, None]:
        """The batches, each with the number of examples in it; none where there are none at all."""
        while True:
            start, given = self.starts[-1], 0
            with closing(guarded(self.port)) as batches:
                for batch in batches:
                    given += 1
                    yield batch
            count = self.port.loader.skipped + given // self.port.loader.pieces
            if not count:
                return
            self._begin(Start(start.again + 1, start.since + count, None))

    def examples_of(self, number: int) -> list[Any] | None:
        """The indices of the examples of a batch of this pass, where they are known."""
        # Before any pass has begun, a preflight takes the first batch.
        since = self.starts[-1].since if self.starts else 0
        return self.port.loader.examples_of(number - since) if number >= since else None

    def _begin(self, start: Start, skipped: int = 0) -> None:
        loader = self.port.loader
        loader.start(self.pass_number + start.again * APART, skipped, start.began_with)
        self.starts.append(start._replace(began_with=loader.began_with))


def is_port_state(state: Any) -> bool:
    """Whether something has the form of the state of a port, restarting or not."""
    if not isinstance(state, dict) or state.keys() != set(Start._fields):
        return is_sampler_state(state)
    counts = (state["again"], state["since"])
    return all(type(count) is int and 0 <= count < 2**32 for count in counts) and (
        is_sampler_state(state["began_with"])
    )
