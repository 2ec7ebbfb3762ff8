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

from torchassistant.session.checkpoints.bundle import CheckpointBundle
from torchassistant.session.checkpoints.retention import BestRanks

_MOST_WAITING = 8
"""States that are not on the disk yet, at most: so many are lost where the process is killed."""

_MOST_COPIED = 2**26
"""Bytes of the copies that wait, at most. A larger state is not copied: it is written at once, to
the memory that the system has for files, and only the waiting for the disk is left for later."""

_SHARE = 0.02
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
        self._is_waited_for = False
        self._awake = threading.Event()
        self._rests_until = 0.0

    @property
    def count(self) -> int:
        """How many are not on the disk yet."""
        return len(self._states) + (self._written is not None)

    @staticmethod
    def are_copied(size: int) -> bool:
        """Whether tensors of so many bytes are to be copied, and not written at once."""
        return size <= _MOST_COPIED

    def has_room_for(self, size: int) -> bool:
        """Whether one of so many bytes may wait too."""
        with self._lock:
            written = 0 if self._written is None else self._written.size
            whole = size + written + sum(state.size for state in self._states)
        return self.count < _MOST_WAITING and whole <= _MOST_COPIED

    def add(self, state: WaitingState) -> None:
        """Let one wait; what it makes superfluous waits no longer."""
        with self._lock:
            self._states.append(state)
            passed_over = [one for one in self._states if self._would_be_removed(one)]
            for one in passed_over:
                self._states.remove(one)
            self._note_hurry()
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
        self._awake.wait(max(self._rests_until - time.monotonic(), 0.0))
        with self._lock:
            if not self._states:
                return
            state = self._written = self._states.popleft()
        began = time.thread_time()
        try:
            state.write()
        finally:
            state.bundle.discard()
            with self._lock:
                self._written = None
                self._note_hurry()
            taken = time.thread_time() - began
            self._rests_until = time.monotonic() + min(taken / _SHARE, _LONGEST_REST)

    def hurry(self, is_wanted: bool) -> None:
        """Say whether somebody waits for what is written: then nobody rests."""
        with self._lock:
            self._is_waited_for = is_wanted
            self._note_hurry()

    def _note_hurry(self) -> None:
        """Nobody rests where training would have to wait soon, as there is room for little more."""
        size = sum(state.size for state in self._states)
        if (
            self._is_waited_for
            or len(self._states) >= _MOST_WAITING // 2
            or size > _MOST_COPIED // 4
        ):
            self._awake.set()
        else:
            self._awake.clear()
