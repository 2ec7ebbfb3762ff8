"""The language model: state that is carried from batch to batch, of text in order."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch

from examples.language_model.data import decoded, encoded
from examples.language_model.model import CharacterModel

pytestmark = pytest.mark.examples

Run = Callable[..., CompletedProcess[str]]

DOCS = Path(__file__).resolve().parents[2] / "docs"
SESSION = "sessions/language_model"
WORD = re.compile("[A-Za-z]{2,}")
BEGINNING = "The session "


@pytest.fixture(scope="module")
def session(workplace: Path, run: Run) -> Path:
    """The session, trained for two of its six epochs, on less than half of the text."""
    (workplace / "docs").mkdir()
    shutil.copy(DOCS / "config.md", workplace / "docs")
    shorter = "train.stages[0].stop_condition.kwargs.num_epochs=2"
    run("init.py", "examples/language_model/training.json", "--set", shorter)
    run("train.py", SESSION)
    return workplace / SESSION


def test_held_out_text_is_a_small_surprise(session: Path) -> None:
    with (session / "metrics" / "0.csv").open() as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["val loss"]) for row in rows]
    # In nats for each of 96 characters; the first epoch begins at 4.6.
    assert min(losses) < 2.3
    assert losses[-1] < losses[0]


@pytest.mark.slow
def test_the_whole_text_is_a_smaller_surprise(workplace: Path, run: Run) -> None:
    for path in DOCS.glob("*.md"):
        (workplace / "docs").mkdir(exist_ok=True)
        shutil.copy(path, workplace / "docs")
    run("init.py", "examples/language_model/training.json", "--set", "session_dir=sessions/whole")
    run("train.py", "sessions/whole")
    with (workplace / "sessions/whole/metrics/0.csv").open() as file:
        assert min(float(row["val loss"]) for row in csv.DictReader(file)) < 1.6


def test_it_goes_on_writing(session: Path, run: Run) -> None:
    inference = "examples/language_model/inference.json"
    written = [run("infer.py", inference, BEGINNING).stdout for _ in range(2)]
    assert written[0] == written[1]
    text = written[0].removesuffix("\n")
    assert text.startswith(BEGINNING)
    assert len(text) == len(BEGINNING) + 400
    # What it was taught is the documentation at hand, so nobody knows which words come.
    known = set(WORD.findall("".join(path.read_text("utf-8") for path in DOCS.glob("*.md"))))
    words = WORD.findall(text)
    assert sum(word in known for word in words) > len(words) / 3 > 10


def test_what_is_remembered_replaces_what_was_read() -> None:
    torch.manual_seed(0)
    model = CharacterModel(96, 16).eval()
    text = encoded("a text in two parts")[None]
    assert decoded(text[0].tolist()) == "a text in two parts"
    whole, _ = model(text, model.initial_state(1))
    first, state = model(text[:, :7], model.initial_state(1))
    second, _ = model(text[:, 7:], state)
    assert torch.allclose(torch.cat([first, second], dim=2), whole, atol=1e-6)
