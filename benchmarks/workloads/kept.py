"""What a save costs for each further checkpoint that is kept."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Spread
from benchmarks.tasks import Config, one_layer
from torchassistant import create_session
from torchassistant.session.checkpoints.local_checkpoints import LocalCheckpoints
from torchassistant.training import Reporter

ALL = 10**6
KEPT: dict[str, Config] = {
    "as the last ones": {"keep_last": ALL},
    "as the best": {"keep_last": 1, "best": {"monitor": "loss", "keep": ALL}},
}


class Timed(LocalCheckpoints):
    """Notes how long each save takes of a processor, up to where old states are removed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.seconds: list[float] = []
        self.began = 0.0

    def save(self, *args: Any, **kwargs: Any) -> str:
        self.began = time.thread_time()
        return super().save(*args, **kwargs)

    def clear_unfinished(self) -> None:
        super().clear_unfinished()
        self.seconds.append(time.thread_time() - self.began)


def measure(quick: bool) -> list[Figure]:
    """Of many epochs, whose states all stay; in the thread that writes them."""
    epochs = 12 if quick else 1_000
    return [_measured(how, checkpoints, epochs) for how, checkpoints in KEPT.items()]


def _measured(how: str, checkpoints: Config, epochs: int) -> Figure:
    with tempfile.TemporaryDirectory() as folder:
        config = one_layer(64).config(epochs, checkpoints=checkpoints)
        session = create_session(config, Path(folder, "session"), trust=["benchmarks"])
        storage = Timed(session.folder.path / "checkpoints")
        session.folder.storage = storage
        session.train(Reporter())
    tenth = max(epochs // 10, 1)
    early, late = storage.seconds[1 : tenth + 1], storage.seconds[-tenth:]
    further = len(storage.seconds) - tenth - 1
    each = ((b - a) / further for a, b in zip(sorted(early), sorted(late), strict=True))
    return Figure(
        what=f"a save, for each further checkpoint of {epochs:,}, kept {how}",
        against=f"the first {tenth} saves, in ms",
        spread=Spread.of(seconds * 1e6 for seconds in each),
        unit="µs",
        ours=statistics.median(late) * 1e3,
        theirs=statistics.median(early) * 1e3,
        sides="ms",
    )
