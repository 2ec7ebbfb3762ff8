"""What it costs that the bits do not depend on how many processes there are."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.figures import Figure, ratio
from benchmarks.processes import seconds_of, torchrun
from benchmarks.tasks import Config, lenet
from benchmarks.workloads import gan
from benchmarks.workloads.lenet5 import write_mnist
from torchassistant import create_session, load_session

PROCESSES = 2
PARTS = (4, 8)


def measure(quick: bool) -> list[Figure]:
    """LeNet-5 and the GAN by two processes; a batch has 32 examples, and is cut into more parts."""
    few, count, epochs, rounds = (320, 320, 2, 1) if quick else (3_200, 3_200, 5, 3)
    with tempfile.TemporaryDirectory() as folder:
        write_mnist(Path(folder), few)
        figures = _figures("LeNet-5", lenet(folder).config(epochs), rounds)
    return figures + _figures("GAN, two pipelines", gan.config(count, epochs), rounds)


def _figures(what: str, config: Config, rounds: int) -> list[Figure]:
    found: dict[int | None, list[float]] = {parts: [] for parts in (None, *PARTS)}
    for _ in range(rounds):
        for parts, seconds in found.items():
            seconds += _epochs(config, parts)
    return [
        ratio(
            f"{what}, {PROCESSES} processes, logical_ranks {parts}",
            "the same without logical_ranks",
            [seconds * 1e3 for seconds in found[parts]],
            [seconds * 1e3 for seconds in found[None]],
            sides="ms an epoch",
        )
        for parts in PARTS
    ]


def _epochs(config: Config, parts: int | None) -> list[float]:
    """The seconds of each epoch but the first."""
    with tempfile.TemporaryDirectory() as folder:
        session = Path(folder, "session")
        told = {} if parts is None else {"logical_ranks": parts}
        create_session({**config, "distributed": told}, session, trust=["benchmarks"])
        seconds_of(torchrun(PROCESSES, "benchmarks.rank_of_session", session, folder))
        history = load_session(session, trust=["benchmarks"]).history
        return [float(one) for one in history["seconds"][1:]]
