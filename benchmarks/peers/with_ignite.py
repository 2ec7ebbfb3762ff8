"""Ignite."""

from __future__ import annotations

import time
from contextlib import redirect_stderr
from typing import Any, TextIO

from ignite.engine import Engine, Events
from ignite.handlers import ProgressBar
from ignite.metrics import RunningAverage

from benchmarks.plain import ByHand


class WithIgnite:
    """An ``Engine``, with the bar and the running average of its guide or with neither."""

    def __init__(self, by_hand: ByHand, stream: TextIO | None) -> None:
        self.by_hand, self.stream = by_hand, stream
        self.began = self.seconds = 0.0
        self.engine = Engine(self._update)
        self.engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        self.engine.add_event_handler(Events.EPOCH_COMPLETED, self._stop)
        if stream is not None:
            RunningAverage(output_transform=float).attach(self.engine, "loss")
            ProgressBar(file=stream).attach(self.engine, ["loss"])

    def _update(self, engine: Engine, batch: Any) -> float:
        x, y = batch
        optimizer = self.by_hand.optimizers[0]
        optimizer.zero_grad()
        loss = self.by_hand.criterion(self.by_hand.predict(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    def _start(self) -> None:
        self.began = time.perf_counter()

    def _stop(self) -> None:
        self.seconds = time.perf_counter() - self.began

    def epoch(self, epoch: int) -> float:
        """Train for an epoch; gives the seconds of its iterations."""
        with redirect_stderr(self.stream):
            self.engine.run(self.by_hand.batches(epoch), max_epochs=epoch + 1)
        return self.seconds
