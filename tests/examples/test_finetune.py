"""The fine-tuning example: two sessions, one of which begins with the weights of the other."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

pytestmark = pytest.mark.examples

Run = Callable[..., CompletedProcess[str]]

PRETRAINED, SESSION = "sessions/pretraining", "sessions/finetune"
LENGTH = "train.stages[{}].stop_condition.kwargs.num_epochs={}"
SHORTER = ("--set", LENGTH.format(0, 10), "--set", LENGTH.format(1, 11))
"""Less than half of the epochs do as well, if less surely."""


@pytest.fixture(scope="module")
def created(workplace: Path, run: Run) -> CompletedProcess[str]:
    """What ``init`` printed of the second session; the first one is trained."""
    command = [sys.executable, "-m", "examples.finetune.pictures"]
    subprocess.run(command, cwd=workplace, check=True, timeout=120)
    run("init.py", "examples/finetune/pretraining.json")
    run("train.py", PRETRAINED)
    config = workplace / "examples/finetune/training.json"
    config.write_text(config.read_text().replace('"best": {', '"keep_last": 100, "best": {', 1))
    return run("init.py", "examples/finetune/training.json", *SHORTER)


@pytest.fixture(scope="module")
def session(created: CompletedProcess[str], workplace: Path, run: Run) -> Path:
    """The session, trained, with all its checkpoints."""
    run("train.py", SESSION)
    return workplace / SESSION


def rows(session: Path, stage: int) -> list[dict[str, str]]:
    with (session / "metrics" / f"{stage}.csv").open() as file:
        return list(csv.DictReader(file))


def backbone(session: Path, step: int) -> dict[str, Tensor]:
    return load_file(session / "checkpoints" / f"{step:010d}" / "models" / "backbone.safetensors")


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_twenty_images_of_a_class_are_enough(session: Path, run: Run) -> None:
    evaluation = ("examples/finetune/evaluation.json", "--checkpoint", "best", "--json")
    assert json.loads(run("evaluate.py", *evaluation).stdout)["test F1"] >= 0.9


def test_the_head_is_trained_alone_and_then_both(session: Path, workplace: Path) -> None:
    head, both = rows(session, 0), rows(session, 1)
    pretrained = backbone(workplace / PRETRAINED, int(rows(workplace / PRETRAINED, 0)[-1]["step"]))
    # Not one bit of it changes, its running statistics among them.
    assert any(name.endswith("running_mean") for name in pretrained)
    assert same(backbone(session, int(head[-1]["step"])), pretrained)
    assert not same(backbone(session, int(both[-1]["step"])), pretrained)


def test_a_folder_of_images_is_named(session: Path, workplace: Path, run: Run) -> None:
    inference = "examples/finetune/inference.json"
    done = run("infer.py", inference, "sessions/shapes/new", "--checkpoint", "best")
    named = [line.rpartition(": ") for line in done.stdout.splitlines()]
    files = sorted((workplace / "sessions/shapes/new").iterdir())
    assert [Path(file).name for file, _, _ in named] == [file.name for file in files]
    assert {shape for _, _, shape in named} <= {"disc", "square", "triangle"}
    for file in files:
        with Image.open(file) as image:
            assert image.size == (32, 32)


def test_init_shows_groups_and_what_is_frozen(created: CompletedProcess[str]) -> None:
    text = created.stdout + created.stderr
    for name in ("norms", "backbone", "bias", "frozen"):
        assert name in text
