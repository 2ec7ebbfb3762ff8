"""``augment`` in a config: through the commands, with its mistakes, and exact after a cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from toy_config import Command, Config, toy_config, write

from torchassistant import create_session, load_session
from torchassistant.cli import main
from torchassistant.errors import ConfigError

WOBBLE = {"class": "toys.Wobble"}


def augmented(augment: Any, **kwargs: Any) -> Config:
    training = {
        "dataset": "parts.train",
        "kwargs": {"batch_size": 8, **kwargs},
        "augment": augment,
    }
    return toy_config(training=training, checking={**training, "dataset": "parts.val"})


@pytest.mark.parametrize("workers", [0, 2])
def test_it_resumes_in_the_middle_of_an_epoch(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verifying_here: None,
    workers: int,
) -> None:
    several = [WOBBLE, {**WOBBLE, "on": "batches", "columns": [1]}]
    monkeypatch.chdir(tmp_path)
    write(Path("c.json"), augmented(several, num_workers=workers))
    status = main(["verify-resume", "c.json", "--iterations", "6", "--trust", "toys"])
    said = capsys.readouterr()
    assert (status, said.err.count("warning")) == (0, 0), said.err
    assert "identical, bit for bit" in said.out


def test_training_only(tmp_path: Path) -> None:
    """The wildest transform of the data changes nothing in evaluation."""
    wild = {**WOBBLE, "columns": [1], "kwargs": {"scale": 1e6}}
    sessions = [
        create_session(augmented(augment), tmp_path / str(number), preflight=False)
        for number, augment in enumerate([wild, []])
    ]
    assert sessions[0].evaluate() == sessions[1].evaluate()
    sessions[0].train()
    assert sessions[0].history["loss"][0] > 1e6


MISTAKES: list[tuple[Any, str, str]] = [
    ({"class": "toys.Wobbel"}, ".class", 'did you mean "Wobble"?'),
    ({"class": "toys.Points"}, ".class", '"toys.Points" is not a transform (it cannot be called)'),
    ({**WOBBLE, "kwargs": {"skale": 1}}, ".kwargs.skale", 'did you mean "scale"?'),
    ({**WOBBLE, "on": "epochs"}, ".on", "expected 'examples' or 'batches', found \"epochs\""),
    ({**WOBBLE, "columns": [-1]}, ".columns[0]", "found -1"),
    ({**WOBBLE, "columns": []}, ".columns", "expected at least one, found none"),
    ({**WOBBLE, "column": [0]}, ".column", 'did you mean "columns"?'),
    ("flip", "", 'expected an object, found "flip"'),
]


def test_all_mistakes_are_told_with_their_places(tmp_path: Path, command: Command) -> None:
    config = augmented([augment for augment, _, _ in MISTAKES])
    config["initialize"]["definitions"][3]["spec"]["augment"] = {"class": "toys.Points"}
    write(tmp_path / "c.json", config)
    done = command("-m", "torchassistant", "check", "c.json")
    assert done.returncode == 2
    told = done.stderr.splitlines()
    assert "definitions[3].spec.augment.class: " in told.pop(-1)
    assert len(told) == len(MISTAKES)
    for index, (_, where, said) in enumerate(MISTAKES):
        found = [line for line in told if f".augment[{index}]{where}: " in line]
        assert len(found) == 1, index
        assert said in found[0]


@pytest.mark.parametrize("workers", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_an_exception_is_blamed_on_it(tmp_path: Path, command: Command, workers: int) -> None:
    picky = {**WOBBLE, "kwargs": {"until": 1.5}}
    config = augmented([WOBBLE, picky], num_workers=workers)
    write(tmp_path / "c.json", config)
    assert command("init.py", "c.json", "--no-preflight").returncode == 0
    done = command("train.py", "run")
    assert done.returncode == 1
    first, *_, before, last = done.stderr.splitlines()
    assert first.startswith('error: augment 1 of the loader factory "training"')
    assert first.endswith(": LookupError: no such point,")
    assert (before, last) == ("LookupError: no such point,", "and no other")
    assert "toys.py" in done.stderr
    assert "torchassistant/" not in done.stderr


def test_data_without_the_column(tmp_path: Path, command: Command) -> None:
    write(tmp_path / "c.json", augmented({**WOBBLE, "columns": [0, 5]}))
    done = command("init.py", "c.json")
    assert done.returncode == 2
    assert 'the augment of the loader factory "training" is for the columns [0, 5]' in done.stderr
    assert "the examples have 2 columns" in done.stderr


def test_its_code_and_its_config_belong_to_the_session(tmp_path: Path) -> None:
    session = create_session(augmented(WOBBLE), tmp_path / "run", preflight=False)
    (checkpoint,) = (session.path / "checkpoints").iterdir()
    assert "toys.Wobble" in json.loads((checkpoint / "code.json").read_text())["augment"]
    with pytest.raises(ConfigError, match=r"augment\.kwargs\.scale.*--accept-changes"):
        load_session(session.path, settings=["training.augment.kwargs.scale=2"])
