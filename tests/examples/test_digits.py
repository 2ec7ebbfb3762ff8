"""The example that `make quickstart` runs: the four commands, and what they leave."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from PIL import Image

import torchassistant

pytestmark = pytest.mark.examples

Run = Callable[..., CompletedProcess[str]]

SESSION = "sessions/digits"
PICTURE = "examples/digits/digit.png"


@pytest.fixture(scope="module")
def session(workplace: Path, run: Run) -> Path:
    """The trained session."""
    run("init.py", "examples/digits/training.json")
    run("train.py", SESSION)
    return workplace / SESSION


def test_held_out_digits_are_read(session: Path, run: Run) -> None:
    results = json.loads(run("evaluate.py", "examples/digits/evaluation.json", "--json").stdout)
    assert list(results) == ["test loss", "test accuracy"]
    assert results["test accuracy"] >= 0.97


def test_history_has_a_row_for_each_epoch(session: Path) -> None:
    with (session / "metrics" / "0.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "step", "loss", "val loss", "val accuracy", "seconds"]
    assert [int(row["epoch"]) for row in rows] == list(range(1, 11))
    assert float(rows[-1]["val accuracy"]) >= 0.95


def test_inference_prints_the_digit_of_a_held_out_picture(
    session: Path, workplace: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("TORCHASSISTANT_TRUST", "examples")  # imported from the project, not here
    pixels = np.asarray(Image.open(PICTURE))
    held_out = torchassistant.load_session(SESSION).splits["parts"].test
    labels = [label for image, label in held_out if np.array_equal(image, pixels)]
    assert len(labels) == 1

    # Three inputs are three predictions; an image of another size is scaled.
    Image.fromarray(pixels).resize((64, 64), Image.Resampling.NEAREST).save("large.png")
    done = run("infer.py", "examples/digits/inference.json", PICTURE, "large.png", PICTURE)
    pictures = (PICTURE, "large.png", PICTURE)
    assert done.stdout.splitlines() == [f"{name}: {labels[0]}" for name in pictures]
