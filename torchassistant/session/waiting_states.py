"""States that wait for the disk: what is written next, and what need not be written any more.

A state that those behind it would have removed as soon as it is written is passed over, so that
epochs may be shorter than the disk takes. Where they take milliseconds, writing all the time would
slow the iterations beside it: whoever writes rests after each state.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torchassistant.session.checkpoint_bundle import CheckpointBundle
from torchassistant.session.checkpoint_retention import BestRanks

_SHARE = 0.05
"""Of a processor that writing takes, roughly and at most, where states come all the time."""

_LONGEST_REST = 0.5
"""Seconds: so much more of the training is lost, at most, where the process is killed."""


@dataclass(frozen=True, slots=True, eq=False)
class WaitingState:
    """A state that waits for the disk, or is on its way there.

    Args:
        step: Its step.
        size: Of its tensors, in bytes.
        scores: What it is ranked by.
        stays: Whether it is written in any case.
        bundle: It.
        write: Writes it, and removes what need not stay.
    """

    step: int
    size: int
    scores: Mapping[str, float]
    stays: bool
    bundle: CheckpointBundle
    write: Callable[[], None]


class WaitingStates:
    """What one thread adds, and another one writes, the oldest first.

    Args:
        keep_last: How many of the last ones stay.
        ranks: How good the best so far are, by each monitor; whoever adds a state adds its scores.
    """

    def __init__(self, keep_last: int, ranks: Sequence[BestRanks]) -> None:
        self.keep_last = keep_last
        self.ranks = ranks
        self._states: deque[WaitingState] = deque()
        self._written: WaitingState | None = None
        self._lock = threading.Lock()
        self._hurry = threading.Event()
        self._rests_until = 0.0

    @property
    def count(self) -> int:
        """How many are not on the disk yet."""
        return len(self._states) + (self._written is not None)

    @property
    def size(self) -> int:
        """Of the tensors of all of them, in bytes."""
        with self._lock:
            states = [*self._states, *([] if self._written is None else [self._written])]
        return sum(state.size for state in states)

    def add(self, state: WaitingState) -> None:
        """Let one wait; what it makes superfluous waits no longer."""
        with self._lock:
            self._states.append(state)
            passed_over = [one for one in self._states if self._would_be_removed(one)]
            for one in passed_over:
                self._states.remove(one)
        for one in passed_over:
            one.bundle.discard()

    def _would_be_removed(self, state: WaitingState) -> bool:
        """Whether those behind a state would have it removed as soon as it is written.

        It is neither among the last that stay by then, nor among the best.
        """
        behind = {other.step for other in self._states if other.step > state.step}
        if state.stays or len(behind) < self.keep_last:
            return False
        return not any(ranks.keep(state.scores) for ranks in self.ranks)

    def write_next(self) -> None:
        """Write the oldest, after a rest, if one is still there; called as often as one was added.

        Raises:
            Exception: It could not be written; it waits no longer.
        """
        self._hurry.wait(max(self._rests_until - time.monotonic(), 0.0))
        with self._lock:
            if not self._states:
                return
            state = self._written = self._states.popleft()
        began = time.thread_time()
        try:
            state.write()
        finally:
            state.bundle.discard()
            self._written = None
            taken = time.thread_time() - began
            self._rests_until = time.monotonic() + min(taken / _SHARE, _LONGEST_REST)

    def hurry(self, is_wanted: bool) -> None:
        """Say whether somebody waits for what is written: then nobody rests."""
        if is_wanted:
            self._hurry.set()
        else:
            self._hurry.clear()
