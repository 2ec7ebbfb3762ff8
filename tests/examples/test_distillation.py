"""The distillation example: two stages, the second of which leaves the teacher as it is."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

Run = Callable[..., CompletedProcess[str]]

CONFIG = "examples/distillation/training.json"
SESSION = "sessions/distillation"
TEACHING, LEARNING = 4, 12
"""Epochs of the two stages: fewer than half of them do as well."""


def history(session: Path, stage: int) -> list[dict[str, str]]:
    """The rows of a stage."""
    with (session / "metrics" / f"{stage}.csv").open() as file:
        return list(csv.DictReader(file))


def weights(session: Path, stage: int, model: str) -> dict[str, Tensor]:
    """The tensors of a model as they were after the last epoch of a stage."""
    step = int(history(session, stage)[-1]["step"])
    return load_file(session / "checkpoints" / f"{step:010d}" / "models" / f"{model}.safetensors")


@pytest.fixture(scope="module")
def session(workplace: Path, run: Run) -> Path:
    """The trained session, with all its checkpoints."""
    config = workplace / CONFIG
    kept = '{"checkpoints": {"keep_last": 100},'
    config.write_text(config.read_text().replace("\n{", f"\n{kept}", 1))
    length = "train.stages[{}].stop_condition.kwargs.num_epochs={}"
    shorter = [length.format(0, TEACHING), length.format(1, LEARNING)]
    run("init.py", CONFIG, *(word for one in shorter for word in ("--set", one)))
    run("train.py", SESSION)
    return workplace / SESSION


@pytest.mark.examples
def test_teacher_and_student_read_held_out_digits(session: Path, run: Run) -> None:
    done = run("evaluate.py", "examples/distillation/evaluation.json", "--json")
    results = json.loads(done.stdout)
    assert list(results) == ["teacher accuracy", "student accuracy"]
    assert results["teacher accuracy"] >= 0.97
    assert results["student accuracy"] >= 0.95


@pytest.mark.examples
def test_each_stage_has_its_history(session: Path) -> None:
    first, second = history(session, 0), history(session, 1)
    assert list(first[0]) == ["epoch", "step", "loss", "teacher accuracy", "seconds"]
    losses = ["soft targets", "attention", "cross entropy"]
    measured = [*losses, "teacher accuracy", "student accuracy"]
    assert list(second[0]) == ["epoch", "step", *measured, "seconds"]
    assert [int(row["epoch"]) for row in first + second] == [*range(1, TEACHING + LEARNING + 1)]


@pytest.mark.examples
def test_second_stage_changes_the_student_and_not_one_bit_of_the_teacher(session: Path) -> None:
    before, after = weights(session, 0, "teacher"), weights(session, 1, "teacher")
    assert before.keys() == after.keys()
    # The running statistics of the batch normalisation are among them.
    assert any(name.endswith("running_mean") for name in before)
    assert all(torch.equal(before[name], after[name]) for name in before)
    student = weights(session, 0, "student")
    assert not any(
        torch.equal(student[name], tensor)
        for name, tensor in weights(session, 1, "student").items()
    )


@pytest.mark.examples
def test_inference_prints_the_digit_that_the_student_reads(session: Path, run: Run) -> None:
    done = run("infer.py", "examples/distillation/inference.json", "examples/digits/digit.png")
    assert done.stdout == "2\n"
