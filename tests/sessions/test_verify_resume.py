"""``verify-resume``: people learn whether their own dataset and model resume exactly."""

from __future__ import annotations

import datetime
import json
import shutil
from collections import UserDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from toy_config import Command, toy_config, write

from torchassistant import create_session
from torchassistant.cli import main
from torchassistant.cli.arguments import parser_of
from torchassistant.session.trials.resume_check import (
    _digest,
    different_state,
    first_difference,
    train_traced,
)


def verified(command: Command, tmp_path: Path, *options: str, **changes: Any) -> Any:
    write(tmp_path / "c.json", toy_config(**changes))
    chosen = ("--iterations", "6", "--trust", "unrepeatable", *options)
    done = command("-m", "torchassistant", "verify-resume", "c.json", *chosen)
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"]
    return done


def test_what_resumes(tmp_path: Path, command: Command) -> None:
    """Six iterations of an epoch of four, with noise and dropout; processes print messages too."""
    net = {"class": "toys.Net", "kwargs": {"dropout": 0.5}}
    kept = {"class": "toys.Points", "cache": "memory", "cache_limit": "1 B"}
    checking = {"dataset": "kept", "kwargs": {"batch_size": 8}}
    done = verified(
        command,
        tmp_path,
        points={"class": "toys.Jittered"},
        kept=("datasets", kept),
        checking=checking,
        net=net,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("6 iterations, and the same interrupted after 3: ")
    assert "identical, bit for bit" in done.stdout
    # One process trains the whole run, and two the run that is cut, before its validation.
    messages = [line for line in done.stderr.splitlines() if "is not cached" in line]
    assert len(messages) == 2
    assert all(message.startswith('warning: the dataset "kept"') for message in messages)


@pytest.mark.slow
def test_a_counter_in_a_module(tmp_path: Path, command: Command) -> None:
    """It begins again in a new process: the difference comes after the cut."""
    done = verified(command, tmp_path, points={"class": "unrepeatable.Counting"})
    assert (done.returncode, done.stdout) == (2, "")
    assert "the first difference is iteration 4: the column 1 of the batch" in done.stderr
    assert 'the loader factory "training" gives to the pipeline "fit"' in done.stderr
    assert "two runs of this config" not in done.stderr
    assert "hint: random numbers and state of the dataset" in done.stderr


@pytest.mark.slow
def test_a_number_in_a_model(tmp_path: Path, command: Command) -> None:
    done = verified(command, tmp_path, net={"class": "unrepeatable.Fading"})
    assert (done.returncode, done.stdout) == (2, "")
    assert 'the first difference is iteration 4: the loss "loss" (' in done.stderr
    assert "hint: something in a model or a loss" in done.stderr


@pytest.mark.parametrize("given", ["1", "0", "-3", "2.5", "many", "", "1_0"])
def test_how_many_iterations_may_be_asked_for(
    capsys: pytest.CaptureFixture[str], given: str
) -> None:
    parser = parser_of("verify-resume", "torchassistant verify-resume")
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(["c.json", f"--iterations={given}"])
    assert caught.value.code == 2
    assert "must be a whole number of at least 2" in capsys.readouterr().err


def test_ten_are_run_where_nothing_is_said() -> None:
    parser = parser_of("verify-resume", "torchassistant verify-resume")
    assert parser.parse_args(["c.json"]).iterations == 10
    assert parser.parse_args(["c.json", "--iterations", "2"]).iterations == 2


# Runs that end before


@pytest.mark.parametrize(
    ("count", "epochs", "asked", "sentences"),
    [
        (
            30,
            1,
            7,
            ["4 iterations, and the same interrupted after 2", "over after 4; --iterations asked"],
        ),
        (8, 1, 5, ["1 iteration, too few to interrupt", "over after 1; --iterations asked"]),
    ],
)
def test_a_run_that_is_shorter(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verifying_here: None,
    count: int,
    epochs: int,
    asked: int,
    sentences: list[str],
) -> None:
    """The end of the run is compared too: its validation, its row, its last state."""
    config = toy_config(
        points={"class": "toys.Points", "kwargs": {"count": count}},
        training={"dataset": "points", "kwargs": {"batch_size": 8}},
    )
    config["train"]["stages"][0]["stop_condition"]["kwargs"]["num_epochs"] = epochs
    monkeypatch.chdir(tmp_path)
    write(Path("c.json"), config)
    arguments = ["verify-resume", "c.json", "--iterations", str(asked), "--trust", "toys"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert all(sentence in said for sentence in sentences)
    assert "no epoch ended" not in said


# The comparison itself


class Thing:
    def __init__(self, value: Any) -> None:
        self.value = value


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


ONE, OTHER = torch.eye(3), torch.eye(3) * 2
COLUMNS: dict[str, Callable[[torch.Tensor], Any]] = {
    "strided": lambda x: x,
    "requires a gradient": lambda x: x.clone().requires_grad_(),
    "no axis": lambda x: x.sum(),
    "sparse": lambda x: x.to_sparse(),
    "sparse rows": lambda x: x.to_sparse_csr(),
    "nested": lambda x: torch.nested.nested_tensor([x, x[:1]]),
    "quantized": lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8),
    "complex": lambda x: torch.complex(x, x).conj(),
    "bf16": lambda x: x.bfloat16(),
    "bool": lambda x: x > 1,
    "packed": lambda x: nn.utils.rnn.pack_sequence([x[:, 0], x[:2, 0]]),
    "array": lambda x: x.numpy(),
    "array of objects": lambda x: np.array([x.numpy().tolist(), None, "a"], dtype=object),
    "array of texts": lambda x: np.array([str(x.sum())]),
    "array of dates": lambda x: np.array([int(x.sum())], dtype="datetime64[D]"),
    "array of complex": lambda x: x.numpy().astype(complex),
    "numpy number": lambda x: np.float32(x.sum()),
    "numpy date": lambda x: np.datetime64(int(x.sum()), "D"),
    "image": lambda x: Image.fromarray(x.to(torch.uint8).numpy()),
    "texts": lambda x: [str(x.sum()), None],
    "nothing and numbers": lambda x: (None, float(x.sum()), float("nan"), {"a": [int(x.sum())]}),
    "set": lambda x: {f"{int(x.sum())}", "b", "c"},
    "date": lambda x: datetime.date(2000, 1, int(x.sum())),
    "object": lambda x: [Thing(x)],
    "object with slots": lambda x: Slotted(Thing(x)),
    "user's dict": lambda x: UserDict(a=x),
    "bytes": lambda x: bytearray(x.numpy().tobytes()),
}


@pytest.mark.filterwarnings(
    "ignore:Sparse", "ignore:The PyTorch API of nested", "ignore:torch.quantize"
)
@pytest.mark.parametrize("kind", COLUMNS)
def test_columns_of_every_kind_are_compared(kind: str) -> None:
    make = COLUMNS[kind]
    assert _digest(make(ONE.clone())) == _digest(make(ONE.clone()))
    assert _digest(make(ONE)) != _digest(make(OTHER))


def test_a_column_that_holds_itself_has_a_digest() -> None:
    column: list[Any] = [1]
    column.append(column)
    assert _digest(column) == _digest(column)


def test_noise_of_the_system(tmp_path: Path) -> None:
    """No two runs are the same, from the first batch on."""
    config = toy_config(points={"class": "unrepeatable.OfTheSystem"})
    create_session(config, tmp_path / "one", preflight=False)
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    for name in ("one", "other"):
        train_traced(tmp_path / name, 2, tmp_path / f"trace of {name}", {"trust": ["unrepeatable"]})
    found = first_difference(tmp_path / "trace of one", tmp_path / "trace of other")
    assert found is not None
    assert found.startswith("iteration 1: the column 2 of the batch that the loader factory")
    assert '"training" gives to the pipeline "fit"' in found


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session of six iterations, and what it met."""
    folder = tmp_path_factory.mktemp("rehearsed")
    create_session(toy_config(), folder / "session", preflight=False)
    assert train_traced(folder / "session", 6, folder / "trace", {}) == (6, 1)
    return folder


def test_a_run_is_like_itself(rehearsed: Path) -> None:
    assert first_difference(rehearsed / "trace", rehearsed / "trace") is None
    assert different_state(rehearsed / "session", rehearsed / "session") is None


def test_a_run_may_be_shorter_than_asked_for(tmp_path: Path) -> None:
    create_session(toy_config(), tmp_path / "session", preflight=False)
    assert train_traced(tmp_path / "session", 50, tmp_path / "trace", {}) == (12, 3)


def test_every_batch_and_every_loss_is_compared(rehearsed: Path, tmp_path: Path) -> None:
    lines = (rehearsed / "trace").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    assert [entry["iteration"] for entry in entries if "losses" in entry] == list(range(1, 7))
    assert len([entry for entry in entries if "digest" in entry]) == 6 * 2
    for number, entry in enumerate(entries):
        if "digest" in entry:
            changed, named = {**entry, "digest": "other"}, f"the column {entry['column']} of"
        else:
            changed, named = {**entry, "losses": {"loss": "0.5"}}, 'the loss "loss"'
        path = tmp_path / "trace"
        path.write_text("\n".join([*lines[:number], json.dumps(changed), *lines[number + 1 :]]))
        found = first_difference(rehearsed / "trace", path)
        assert found is not None
        assert found.startswith(f"iteration {entry['iteration']}: {named}")
    path.write_text("\n".join(lines[:-1]))
    assert first_difference(rehearsed / "trace", path) == "the number of batches"


def test_every_tensor_is_compared(rehearsed: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    session = tmp_path / "session"
    shutil.copytree(rehearsed / "session", session)
    last = sorted((session / "checkpoints").iterdir())[-1]
    compared = 0
    for path in sorted(last.rglob("*.safetensors")):
        tensors = load_file(path)
        for name, tensor in tensors.items():
            changed = tensor.clone().reshape(-1)
            changed.view(torch.uint8)[-1] ^= 1
            save_file({**tensors, name: changed.reshape(tensor.shape)}, path)
            found = different_state(rehearsed / "session", session)
            assert found is not None and name in found
            compared += 1
        save_file(tensors, path)
    assert compared > 10
    assert different_state(rehearsed / "session", session) is None
