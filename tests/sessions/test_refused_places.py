"""Where nothing can be written, each command names what it was given, and the system's reason."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from toy_config import HERE, environment, toy_config, write
from warm_commands import WarmCommands

sys.path.append(str(HERE.parent / "conversion"))

from pickles import saved

SWEEP = {
    "config": "config.json",
    "parameters": {"adam.kwargs.lr": {"float": [0.001, 0.1]}},
    "monitor": "val loss",
    "mode": "min",
    "take": "last",
    "seed": 1,
}
WRITERS = {
    "init": ("init config.json --no-preflight --set session_dir={}", ""),
    "report": ("report run -o {}", ".html"),
    "pictures": ("report run -o page.html --png {}", ""),
    "graph": ("graph config.json -o {}", ".mmd"),
    "export": ("export run --format safetensors -o {}", ""),
    "convert weights": ("convert weights.pth {}", ".safetensors"),
    "convert config": ("convert config.json {}", ".yaml"),
    "new": ("new regression {}", ""),
    "infer": ("infer run --pipeline check -o {}", ".csv"),
    "sweep": ("sweep sweep.json --trials 1", ""),
    "compress": (
        *("compress run --monitor loss --delta 1 --mode min --methods int8 --trials 1 -o {}", ""),
    ),
    "log": ("log run --to tensorboard --folder {}", ""),
}
"""Commands, and how the name of what they write ends."""

SLOW = ("init", "export", "infer", "sweep", "compress")
"""These build a session first, which takes a while."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, warm_commands: WarmCommands) -> Path:
    """A working directory with what the commands read."""
    folder = tmp_path_factory.mktemp("work")
    write(folder / "config.json", toy_config())
    saved({"weight": torch.zeros(50_000)}, folder / "weights.pth")
    (folder / "file").write_text("somebody's\n")
    made = warm_commands.run("init.py", "config.json", cwd=folder, env=environment())
    assert made.returncode == 0, made.stderr
    return folder


Run = Callable[[str, str], subprocess.CompletedProcess[str]]


@pytest.fixture
def run(folder: Path, warm_commands: WarmCommands) -> Run:
    """``run(NAME, PLACE)`` runs a command of ``WRITERS`` that is to write there."""

    def run(name: str, place: str) -> subprocess.CompletedProcess[str]:
        command, _ = WRITERS[name]
        if name == "sweep":
            write(folder / "sweep.json", {**SWEEP, "folder": place})
        words = [word.format(place) for word in command.split()]
        return warm_commands.run("-m", "torchassistant", *words, cwd=folder, env=environment())

    return run


@pytest.fixture(scope="module")
def small_disk() -> Iterator[Path]:
    """A file system without any room."""
    with tempfile.TemporaryDirectory() as name:
        options = ["-t", "tmpfs", "-o", "size=4k", "tmpfs", name]
        if shutil.which("mount") is None:
            pytest.skip("there is no mount")
        done = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
        try:
            Path(name, "ballast").write_bytes(bytes(4096))
            yield Path(name)
        finally:
            subprocess.run(["umount", "-l", name], check=True)


def assert_told(done: subprocess.CompletedProcess[str], place: str, *reasons: str) -> None:
    """One line says what was given, and why it cannot be; nothing is said of files aside."""
    assert done.returncode == 2, done.stderr
    (error,) = (line for line in done.stderr.splitlines() if not line.startswith("warning: "))
    assert error.startswith("error: ") and place in error, error
    assert any(reason in error for reason in reasons), error
    assert "Traceback" not in done.stderr and ".aside" not in done.stderr, done.stderr
    assert done.stdout == ""


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="there is no folder that takes no file")
@pytest.mark.parametrize("name", WRITERS)
def test_a_folder_that_takes_no_file(run: Run, name: str) -> None:
    place = f"/proc/place{WRITERS[name][1]}"
    done = run(name, place)
    assert_told(done, place, "cannot be written: No such file or directory")


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_in_the_place_of_a_folder(run: Run, folder: Path, name: str) -> None:
    place = f"file/place{WRITERS[name][1]}"
    done = run(name, place)
    assert_told(done, place, "cannot be written: Not a directory", "there is no folder file")
    assert (folder / "file").read_text() == "somebody's\n"


@pytest.mark.parametrize("name", [name for name in WRITERS if name not in SLOW])
def test_a_folder_that_cannot_be_made(run: Run, name: str) -> None:
    place = f"/proc/none/place{WRITERS[name][1]}"
    done = run(name, place)
    reason = "cannot be written: No such file or directory (/proc/none"
    assert_told(done, place, reason, "there is no folder /proc/none")


@pytest.mark.parametrize("name", WRITERS)
def test_a_disk_without_room(run: Run, small_disk: Path, name: str) -> None:
    place = str(small_disk / f"{name.replace(' ', '')}{WRITERS[name][1]}")
    done = run(name, place)
    assert_told(done, place, "cannot be written: No space left on device")
    left = [path for path in small_disk.iterdir() if path.is_file()]
    assert left == [small_disk / "ballast"]


@pytest.mark.parametrize("name", WRITERS)
def test_a_folder_in_the_place_of_a_file_and_the_reverse(run: Run, folder: Path, name: str) -> None:
    suffix = WRITERS[name][1]
    if suffix:
        place = f"folder{suffix}"
        (folder / place).mkdir(exist_ok=True)
        (folder / place / "kept").touch()
    else:
        place = "file"
    done = run(name, place)
    assert done.returncode == 2 and place in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and ".aside" not in done.stderr, done.stderr
    assert (folder / "file").read_text() == "somebody's\n"


def test_a_device_is_no_file_that_a_graph_replaces(run: Run, folder: Path) -> None:
    os.mkfifo(folder / "pipe.mmd")
    done = run("graph", "pipe.mmd")
    assert_told(done, "pipe.mmd", "no file that is replaced")
    assert stat.S_ISFIFO((folder / "pipe.mmd").stat().st_mode)


def test_a_callback_whose_files_cannot_be_written(
    tmp_path: Path, warm_commands: WarmCommands
) -> None:
    """It is no mistake in its code."""
    config = toy_config(keep=("callbacks", {"class": "ModelCheckpoint"}))
    write(tmp_path / "config.json", config | {"train": config["train"] | {"callbacks": ["keep"]}})
    made = warm_commands.run("init.py", "config.json", cwd=tmp_path, env=environment())
    assert made.returncode == 0, made.stderr
    (tmp_path / "run" / "weights").touch()
    done = warm_commands.run("train.py", "run", cwd=tmp_path, env=environment())
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    said = "weights/callbacks/keep cannot be written: Not a directory (run/weights/callbacks)\n"
    assert done.stderr.endswith(f'error: the callback "keep", in on_epoch_end: run/{said}')


def test_an_output_device_that_cannot_write(
    folder: Path, small_disk: Path, warm_commands: WarmCommands
) -> None:
    lines = small_disk / "lines.jsonl"
    inference = {
        "session_dir": "run",
        "inference_pipeline": "check",
        "output_device": {"class": "JsonLines", "kwargs": {"path": str(lines)}},
    }
    write(folder / "inference.json", inference)
    words = ("infer.py", "inference.json", "--pipeline", "check", "--allow-write", str(small_disk))
    done = warm_commands.run(*words, cwd=folder, env=environment())
    assert_told(done, str(lines), "cannot be written: No space left on device")
