"""Lightning."""

from __future__ import annotations

import logging
import tempfile
import time
import warnings
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, TextIO

import lightning
from torch import Tensor

from benchmarks.plain import ByHand


class _Module(lightning.LightningModule):
    def __init__(self, by_hand: ByHand, logs: bool) -> None:
        super().__init__()
        self.model, self.criterion = by_hand.modules[0], by_hand.criterion
        self.optimizer, self.logs = by_hand.optimizers[0], logs

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        loss = self.criterion(self.model(x), y)
        if self.logs:
            self.log("loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> Any:
        return self.optimizer


class _Clock(lightning.Callback):
    began = seconds = 0.0

    def on_train_epoch_start(self, *_: Any) -> None:
        self.began = time.perf_counter()

    def on_train_epoch_end(self, *_: Any) -> None:
        self.seconds = time.perf_counter() - self.began


class WithLightning:
    """A ``Trainer`` that goes on epoch by epoch, with its default bar and logger or neither."""

    def __init__(self, by_hand: ByHand, stream: TextIO | None) -> None:
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        self.by_hand, self.stream = by_hand, stream
        self.folder = tempfile.TemporaryDirectory()
        shown = stream is not None
        self.module, self.clock = _Module(by_hand, shown), _Clock()
        plain = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
        with redirect_stdout(stream), redirect_stderr(stream):
            self.trainer = lightning.Trainer(
                max_epochs=0,
                accelerator="cpu",
                callbacks=[self.clock],
                default_root_dir=self.folder.name,
                enable_model_summary=False,
                **({} if shown else plain),
            )

    def epoch(self, epoch: int) -> float:
        """Train for an epoch; gives the seconds of its iterations."""
        self.trainer.fit_loop.max_epochs = epoch + 1
        with warnings.catch_warnings(), redirect_stdout(self.stream), redirect_stderr(self.stream):
            warnings.simplefilter("ignore")
            self.trainer.fit(self.module, self.by_hand.batches(epoch))
        return self.clock.seconds
