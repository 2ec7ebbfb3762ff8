"""The command ``convert``: from a file of torch.save to a safetensors file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pickles
import pytest
import safetensors.torch
import torch

from torchassistant.conversion import convert_weights
from torchassistant.conversion import weights as weights_module
from torchassistant.errors import DataError, UserError


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "torchassistant", "convert", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.ckpt"
    tied = torch.arange(6.0).reshape(2, 3)
    state = {"module.w": tied, "module.tied": tied, "module.turned": tied.T}
    pickles.saved({"state_dict": state, "hyper_parameters": {"lr": 1}, "ema": {"w": tied}}, path)
    return path


def test_what_a_person_and_a_program_are_told(tmp_path: Path, file: Path) -> None:
    # None of these is imported by the process that reads.
    for name in ("torch", "pickle"):
        (tmp_path / f"{name}.py").write_text("open('poisoned', 'w')")
    before = names_in(tmp_path)
    done = command(tmp_path, file.name, "a.safetensors")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["name", "shape", "dtype", "size"]
    assert lines[1].split() == ["module.tied", "2×3", "F32", "24", "B"]
    assert "taken: state_dict" in lines
    assert "not taken (--key takes another): ema (1 tensor)" in lines
    assert "left out: hyper_parameters (dict of 1)" in lines
    assert any(line.startswith("shared memory") and "module.tied" in line for line in lines)
    assert "laid out anew: module.turned" in lines
    assert any(line.startswith("a.safetensors: 3 tensors, ") for line in lines)
    assert "restricted unpickler, in a process of its own" in lines[-1]
    assert names_in(tmp_path) == sorted([*before, "a.safetensors"])
    result = safetensors.torch.load_file(tmp_path / "a.safetensors")
    assert torch.equal(result["module.turned"], torch.arange(6.0).reshape(2, 3).T)

    done = command(tmp_path, file.name, "a.safetensors", "--key", "ema", "--replace", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told["tensors"] == {"w": {"shape": [2, 3], "dtype": "F32", "bytes": 24}}
    assert told["bytes"] == (tmp_path / "a.safetensors").stat().st_size
    assert told["key"] == "ema"
    assert [*safetensors.torch.load_file(tmp_path / "a.safetensors")] == ["w"]


def test_a_hostile_file_is_refused(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "a.pth").write_bytes(pickles.hostile(mark)["os.system, beside weights"])
    done = command(tmp_path, "a.pth", "a.safetensors")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: a.pth asks for posix.system to be called")
    assert names_in(tmp_path) == ["a.pth"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks at the processes of Linux")
def test_who_is_killed_leaves_nothing(tmp_path: Path, file: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "torchassistant", "convert", file.name, "a.safetensors"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    until(lambda: process.poll() is None and listed.read_text() != "")
    child = Path(f"/proc/{listed.read_text().split()[0]}/exe")
    process.kill()
    process.wait()
    until(lambda: not child.exists())
    assert names_in(tmp_path) == [file.name]


def until(holds: Any) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_wrong_uses_are_found_before_anything_is_read(tmp_path: Path, file: Path) -> None:
    there = tmp_path / "there.safetensors"
    there.write_text("kept")
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "link.safetensors").symlink_to(there)
    (tmp_path / "same.safetensors").hardlink_to(file)
    os.mkfifo(tmp_path / "fifo")
    before = names_in(tmp_path)
    wrong: list[tuple[Path, Path, bool, str]] = [
        (file, tmp_path / "a.bin", False, r"has to end in \.safetensors"),
        (file, tmp_path / "none" / "a.safetensors", False, "there is no folder"),
        (file, there, False, "is there already; --replace replaces it"),
        (file, tmp_path / "folder.safetensors", True, "not a regular file"),
        (file, tmp_path / "link.safetensors", True, "not a regular file"),
        (file, tmp_path / "same.safetensors", True, "is the file that is to be converted"),
        (tmp_path / "none.pth", tmp_path / "a.safetensors", False, "there is no such file"),
        (tmp_path / "fifo", tmp_path / "a.safetensors", False, "is a FIFO"),
        (tmp_path, tmp_path / "a.safetensors", False, "is a folder"),
    ]
    for source, target, replace, message in wrong:
        with pytest.raises(UserError, match=message):
            convert_weights(source, target, replace=replace)
    assert names_in(tmp_path) == before
    assert there.read_text() == "kept"


PROCESSES = {
    "lies about the file": (
        "import json, os, sys; os.write(json.loads(sys.argv[1])['output'], b'x' * 99); print('{}')",
        "the result is no safetensors file",
    ),
    "answers no JSON": ("print('[')", "lied"),
    "answers nothing": ("pass", "ended with status 0"),
    "dies": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
    "takes too long": ("import os, signal; os.kill(os.getpid(), signal.SIGXCPU)", "far longer"),
    "finds the disk full": ("print('{\"not_written\": 28}')", "No space left"),
}


@pytest.mark.parametrize("how", PROCESSES)
def test_a_process_that_misbehaves_is_not_believed(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    code, message = PROCESSES[how]
    process = tmp_path / "process.py"
    process.write_text(code)
    monkeypatch.setattr(weights_module, "_PROCESS", process)
    with pytest.raises((DataError, OSError), match=message):
        convert_weights(file, tmp_path / "a.safetensors")
    assert names_in(tmp_path) == [file.name, "process.py"]
