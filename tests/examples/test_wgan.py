"""The WGAN example: the critic takes more steps than the generator, whose average makes samples."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

pytestmark = pytest.mark.examples

Run = Callable[..., CompletedProcess[str]]

SESSION = "sessions/wgan"


@pytest.fixture(scope="module")
def session(workplace: Path, run: Run) -> Path:
    """The session, trained for a third of its epochs: some digits can be told already."""
    shorter = "train.stages[0].stop_condition.kwargs.num_epochs=2"
    run("init.py", "examples/wgan/training.json", "--set", shorter)
    run("train.py", SESSION)
    return workplace / SESSION


def test_the_average_makes_digits(session: Path, run: Run) -> None:
    results = json.loads(run("evaluate.py", SESSION, "--json").stdout)
    assert list(results) == ["digits found", "confident"]
    assert results["digits found"] >= 3
    assert results["confident"] >= 0.1


@pytest.mark.slow
def test_the_average_of_the_whole_run_makes_all_ten_digits(run: Run) -> None:
    run("init.py", "examples/wgan/training.json", "--set", "session_dir=sessions/whole-wgan")
    run("train.py", "sessions/whole-wgan")
    results = json.loads(run("evaluate.py", "sessions/whole-wgan", "--json").stdout)
    assert results["digits found"] == 10
    assert results["confident"] >= 0.5


def test_each_epoch_has_a_row_of_losses_and_of_samples(session: Path) -> None:
    with (session / "metrics" / "0.csv").open() as file:
        rows = list(csv.DictReader(file))
    measured = ["critic loss", "penalty", "generator loss", "digits found", "confident"]
    assert list(rows[0]) == ["epoch", "step", *measured, "seconds"]
    assert [int(row["step"]) for row in rows] == list(range(100, 100 * len(rows) + 1, 100))
    # The slope stays near 1, which is what the penalty is for.
    assert float(rows[-1]["penalty"]) < 0.2


def test_images_are_drawn_from_seeds(session: Path, workplace: Path, run: Run) -> None:
    run("infer.py", "examples/wgan/inference.json", "1", "2")
    assert len(list((workplace / "sessions/wgan-images").iterdir())) == 2
