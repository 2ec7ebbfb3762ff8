"""Accelerate."""

from __future__ import annotations

import time
from typing import Any, TextIO

from accelerate import Accelerator
from tqdm import tqdm

from benchmarks.plain import ByHand


class WithAccelerate:
    """The loop of its guide over what an ``Accelerator`` has prepared."""

    def __init__(self, by_hand: ByHand, stream: TextIO | None) -> None:
        self.by_hand, self.stream = by_hand, stream
        self.accelerator = Accelerator(cpu=True)
        self.model, self.optimizer, self.loader = self.accelerator.prepare(
            by_hand.modules[0], by_hand.optimizers[0], by_hand.batches(0)
        )

    def epoch(self, epoch: int) -> float:
        """Train for an epoch; gives the seconds of its iterations."""
        self.by_hand.batches(epoch)
        began = time.perf_counter()
        if self.stream is None:
            for batch in self.loader:
                self._iteration(batch)
        else:
            self._with_bar(self.stream)
        return time.perf_counter() - began

    def _with_bar(self, stream: TextIO) -> None:
        total = 0.0
        bar = tqdm(self.loader, file=stream, dynamic_ncols=True, leave=False)
        for count, batch in enumerate(bar, start=1):
            total += self._iteration(batch).item()
            bar.set_postfix(loss=total / count, refresh=False)

    def _iteration(self, batch: Any) -> Any:
        x, y = batch
        self.optimizer.zero_grad()
        loss = self.by_hand.criterion(self.model(x), y)
        self.accelerator.backward(loss)
        self.optimizer.step()
        return loss
