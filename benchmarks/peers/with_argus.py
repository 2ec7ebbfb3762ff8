"""Argus."""

from __future__ import annotations

import logging
import time
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, TextIO

import argus
from argus.callbacks import on_epoch_complete, on_epoch_start

from benchmarks.plain import ByHand


def _model_of(by_hand: ByHand) -> argus.Model:
    # Argus registers models by the name of their class.
    kind = type(
        f"Model{id(by_hand)}",
        (argus.Model,),
        {
            "nn_module": {"given": lambda: by_hand.modules[0]},
            "loss": {"given": lambda: by_hand.criterion},
            "optimizer": {"given": lambda params: by_hand.optimizers[0]},
        },
    )
    given = ("given", {})
    return kind({"nn_module": given, "loss": given, "optimizer": given, "device": "cpu"})


class WithArgus:
    """An ``argus.Model``; it has no bar."""

    def __init__(self, by_hand: ByHand, stream: TextIO | None) -> None:
        self.by_hand, self.stream = by_hand, stream
        self.began = self.seconds = 0.0
        self.model = _model_of(by_hand)
        # It would write a line an epoch into the table.
        self.model.logger.setLevel(logging.WARNING)

        @on_epoch_start
        def start(state: Any) -> None:
            self.began = time.perf_counter()

        @on_epoch_complete
        def stop(state: Any) -> None:
            self.seconds = time.perf_counter() - self.began

        self.callbacks = [start, stop]

    def epoch(self, epoch: int) -> float:
        """Train for an epoch; gives the seconds of its iterations."""
        with redirect_stdout(self.stream), redirect_stderr(self.stream):
            self.model.fit(
                self.by_hand.batches(epoch), num_epochs=1, callbacks=list(self.callbacks)
            )
        return self.seconds
