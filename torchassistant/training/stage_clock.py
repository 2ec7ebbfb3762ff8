"""How long a stage takes: what is left of it, and where its time went."""

from __future__ import annotations

import time

from torchassistant.training.events import Shares


class StageClock:
    """Measures the epochs of a stage, from when it begins or goes on.

    Args:
        epochs: How many it has at most, if that is known.
    """

    def __init__(self, epochs: int | None = None) -> None:
        self.epochs = epochs
        self.seconds = 0.0
        self.measured = 0
        self._spent: Shares = {}
        self._started = time.monotonic()
        self._done = 0
        self._shares: Shares = {}

    def start_epoch(self, done: int) -> None:
        """An epoch begins; so many of the stage are done."""
        self._started, self._done = time.monotonic(), done

    def note_shares(self, shares: Shares) -> None:
        """Where the time of the epoch at hand went."""
        self._shares = shares

    def finish_epoch(self) -> None:
        """It is done."""
        seconds = time.monotonic() - self._started
        self.seconds += seconds
        self.measured += 1
        for phase, share in self._shares.items():
            self._spent[phase] = self._spent.get(phase, 0.0) + share * seconds

    def shares(self) -> Shares:
        """Where the time of all epochs went; the phase that took most comes first."""
        whole = sum(self._spent.values())
        found = sorted(self._spent.items(), key=lambda item: -item[1])
        return {phase: spent / whole for phase, spent in found} if whole else {}

    def left(self, fraction: float | None) -> float | None:
        """Seconds until the stage is done; None where nobody knows.

        Args:
            fraction: So much of the epoch at hand is done, if that is known.
        """
        if self.epochs is None:
            return None
        now = time.monotonic() - self._started
        if self.measured:
            epoch = self.seconds / self.measured
        elif fraction:
            epoch = now / fraction
        else:
            return None
        # An epoch that takes longer than others did has no end before this.
        return epoch * (self.epochs - self._done - 1) + max(0.0, epoch - now)
