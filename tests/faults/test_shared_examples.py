"""The examples, each trained by two processes, one of which is killed: the same bits after that."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faults import ROOT, assert_valid, differences, end_of, rng_for, tallied
from ranks import called, ranks

sys.path.append(str(ROOT / "tests" / "examples"))
from test_mnist import mnist_like_digits, write_idx

PATIENCE = 600.0
LENGTH = "train.stages[{}].stop_condition.kwargs.num_epochs={}"
EPOCHS = {
    "digits": [2],
    "distillation": [1, 1],
    "finetune": [1, 1],
    "gan": [2],
    "language_model": [1],
    "mnist": [1],
    "parts": [1],
    "translation": [1],
    "wgan": [1],
}
"""Of each stage, so that it does not take long."""


def run(folder: Path, count: int, *command: str, kill: tuple[float, int] | None = None) -> str:
    """Run a command by so many processes, maybe killing one; gives what it prints."""
    with ranks(count, called(command), cwd=folder) as running:
        if kill is not None:
            running.have_begun()
            time.sleep(kill[0])
            running.kill(kill[1])
        statuses = running.wait(PATIENCE)
        assert kill is not None or statuses == [0] * count, running.printed()
        return running.printed()


def created(folder: Path, name: str) -> Path:
    """The session of an example, not trained yet."""
    shutil.copytree(ROOT / "examples", folder / "examples")
    if name == "language_model":
        (folder / "docs").mkdir()
        for page in ("config.md", "recipes.md"):
            shutil.copy(ROOT / "docs" / page, folder / "docs")
    if name == "mnist":
        raw = folder / "data/MNIST/raw"
        raw.mkdir(parents=True)
        images, labels = mnist_like_digits()
        for slice_name, part in (("train", slice(600)), ("t10k", slice(600, 800))):
            write_idx(raw / f"{slice_name}-images-idx3-ubyte", images[part])
            write_idx(raw / f"{slice_name}-labels-idx1-ubyte", labels[part])
    if name == "finetune":
        pictures = [sys.executable, "-m", "examples.finetune.pictures"]
        subprocess.run(pictures, cwd=folder, check=True, timeout=PATIENCE)
        pretraining = "examples/finetune/pretraining.json"
        run(folder, 1, "init", pretraining, "--set", LENGTH.format(0, 1))
        run(folder, 1, "train", "sessions/pretraining")
    (config,) = (folder / "examples" / name).glob("training.*")
    options = ["--set", "checkpoints.every_iterations=5"]
    for index, epochs in enumerate(EPOCHS[name]):
        options += ["--set", LENGTH.format(index, epochs)]
    run(folder, 1, "init", str(config), *options)
    return folder / "sessions" / name


@pytest.mark.faults
@pytest.mark.parametrize("name", EPOCHS)
def test_examples_by_two_processes(tmp_path: Path, name: str) -> None:
    session = created(tmp_path, name)
    whole = Path(shutil.copytree(session, tmp_path / "whole"))
    started = time.monotonic()
    run(tmp_path, 2, "train", str(whole))
    seconds = time.monotonic() - started
    draws = rng_for("examples", name)
    with tallied(f"kill -9 of one of two processes, the example {name}") as tally, tally.run(name):
        kill = draws.uniform(0, seconds / 2), draws.choice((0, 1))
        run(tmp_path, 2, "train", str(session), kill=kill)
        assert_valid(session)
        run(tmp_path, 2, "train", str(session))
        ends = [end_of(session), end_of(whole)]
        for end in ends:
            del end["history/changes.jsonl"]  # it says when
        assert not differences(*ends)
