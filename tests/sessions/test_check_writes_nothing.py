"""``check`` writes nothing and asks nobody: every system call of it is looked at."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_mnist import write_archives
from toy_config import ROOT, Config, environment, files_of, toy_config, write

TRACED = "%file,ftruncate,fallocate,connect,sendto,bind"
_OPENED = re.compile(r'open(?:at)?\((?:AT_FDCWD, |\d+, )?"(?P<path>[^"]*)", (?P<flags>[A-Z_|]+)')
_CHANGING = re.compile(
    r"\b(mkdir|mkdirat|rmdir|rename|renameat2?|unlink|unlinkat|link|linkat|symlink|symlinkat|mknod"
    r"|mknodat|truncate|ftruncate|fallocate|chmod|fchmodat2?|chown|lchown|fchownat|utimensat|creat"
    r"|setxattr|execve|connect|sendto|bind)\((?P<rest>.*)"
)
_HARMLESS = ("/dev/null", "/dev/shm/", "/dev/tty", "/dev/pts/", "/proc/self/")
"""Shared memory of processes is nobody's file, and is gone with them."""


def strange(trace: Path, temporary: Path, runs: tuple[str, ...]) -> Iterator[str]:
    """The calls of a trace that change something outside of a folder, or leave the machine.

    Args:
        trace: What strace has written.
        temporary: Where anything may be done.
        runs: Programs that may be started, by the ends of their names.
    """
    for line in trace.read_text(errors="replace").splitlines():
        opened, changing = _OPENED.search(line), _CHANGING.search(line)
        if opened is not None:
            writes = {"O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"} & {*opened["flags"].split("|")}
            if writes and not opened["path"].startswith((str(temporary), *_HARMLESS)):
                yield line
        elif changing is not None:
            rest = changing["rest"]
            paths = re.findall(r'"([^"]*)"', rest)
            if changing[1] == "execve":
                if not paths[0].endswith(runs):
                    yield line
            elif changing[1] in ("connect", "sendto", "bind"):
                if "AF_INET" in rest:
                    yield line
            elif not all(p.startswith((str(temporary), *_HARMLESS)) for p in _absolute(paths)):
                yield line


def _absolute(paths: list[str]) -> list[str]:
    """Without names that are relative to an open folder, which was looked at when it was opened."""
    return [path for path in paths if path.startswith("/")]


def traced(
    folder: Path, *arguments: str, compiles: bool = False
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """A command under strace, and its calls that are not those of somebody who only looks."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    temporary, trace = folder.parent / "temporary", folder.parent / "trace"
    temporary.mkdir(exist_ok=True)
    done = subprocess.run(
        [
            *(strace, "-f", "-qq", "-s", "400", "-o", str(trace), "-e", f"trace={TRACED}"),
            *(sys.executable, "-m", "torchassistant", "check", *arguments),
        ],
        cwd=folder,
        env={**environment(), "TMPDIR": str(temporary), "HOME": str(folder.parent / "home")},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    compilers = (
        "gcc",
        "g++",
        "c++",
        "cc",
        "as",
        "ld",
        "cc1plus",
        "collect2",
        "objdump",
        "openssl",
        "sh",
    )
    runs = ("/python", Path(sys.executable).name, "ldconfig")
    found = strange(trace, temporary, (*runs, *compilers) if compiles else runs)
    assert not list(temporary.iterdir()), "something is left in the temporary folder"
    return done, list(found)


def config_of_everything() -> Config:
    """A cache on disk, a debug pipeline that writes, workers."""
    loading = {"dataset": "parts.train", "kwargs": {"batch_size": 8, "num_workers": 1}}
    config = toy_config(points={"class": "toys.Points", "cache": "disk"}, training=loading)
    config["train"]["stages"][0]["debug_pipelines"] = [
        {
            "input_factories": [{"variable_names": ["x", "y"], "loader_factory": "checking"}],
            "num_iterations": 1,
            "interval": 2,
            "output_keys": ["y_hat"],
            "output_device": {"class": "JsonLines", "args": ["looks.jsonl"]},
        }
    ]
    return config


def test_check_and_its_preflight_only_look(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    write(here / "c.json", config_of_everything())
    here.chmod(0o555)
    done, found = traced(here, "--preflight", "c.json")
    assert done.returncode == 0, done.stderr
    assert found == []
    assert [path.name for path in here.iterdir()] == ["c.json"]
    assert not (tmp_path / "home").exists()


def test_the_test_sees_what_is_written(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "own.py").write_text("from pathlib import Path\nPath('made').write_text('')\n")
    write(here / "c.json", toy_config(net={"class": "own.Path"}))
    _, found = traced(here, "c.json")
    assert len(found) == 1 and '"made"' in found[0]


EXAMPLES = ("digits", "distillation", "gan", "mnist", "translation")


@pytest.mark.faults
@pytest.mark.parametrize("example", EXAMPLES)
def test_of_the_examples(tmp_path: Path, example: str) -> None:
    here = tmp_path / "here"
    shutil.copytree(ROOT / "examples", here / "examples")
    write_archives(here / "data" / "MNIST" / "raw")
    for archive in (here / "data" / "MNIST" / "raw").glob("*.gz"):
        archive.with_suffix("").write_bytes(gzip.decompress(archive.read_bytes()))
    before = files_of(here)
    done, found = traced(here, "--preflight", f"examples/{example}/training.json")
    assert done.returncode == 0, done.stderr
    assert found == [] and files_of(here) == before


@pytest.mark.faults
def test_of_a_model_that_is_compiled(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    config = config_of_everything()
    (processor,) = [
        d["spec"] for d in config["initialize"]["definitions"] if d["name"] == "processor"
    ]
    processor["compile"] = True
    write(here / "c.json", config)
    done, found = traced(here, "--preflight", "c.json", compiles=True)
    assert done.returncode == 0, done.stderr
    assert found == []
