"""What is downloaded, what is unpacked, and what is refused: through the commands."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from fake_mnist import Server, offered, serving, write_archives
from torchvision.datasets import MNIST
from toy_config import Config, environment, toy_config, write

from torchassistant.assembly import download_process, downloads
from torchassistant.assembly.download_process import Fetch
from torchassistant.errors import UserError
from torchassistant.session import Draft, store

FIRST = "train-images-idx3-ubyte.gz"
RAW = Path("data", "MNIST", "raw")


class Lab:
    """Runs what the commands run, in a folder, with a small MNIST in the place of the real one.

    Args:
        folder: The folder.
        server: Serves the archives.
        resources: Their names and sums.
    """

    def __init__(self, folder: Path, server: Server, resources: list[tuple[str, str]]) -> None:
        self.folder = folder
        self.server = server
        self.resources = resources

    def run(self, *options: str, **allowed: Any) -> tuple[int, str]:
        """What a command says of ``c.json``: its status, and problems or warnings."""
        try:
            draft = Draft("c.json", dry=options[0] == "check", **allowed)
            if options[0] == "init":
                store(draft)
            elif "--preflight" in options:
                draft.preflight()
        except UserError as error:
            return 2, "\n".join(map(str, error.problems))
        return 0, "\n".join(map(str, draft.missing))

    def command(self, *arguments: str) -> subprocess.Popen[str]:
        """The command itself."""
        site = self.folder.parent / "site"
        offer = offered(site, self.server.address, self.resources)
        path = os.pathsep.join([str(site), environment()["PYTHONPATH"]])
        return subprocess.Popen(
            [sys.executable, "-m", "torchassistant", *arguments],
            cwd=self.folder,
            env={**environment(), **offer, "PYTHONPATH": path},
            stderr=subprocess.PIPE,
            text=True,
        )

    def files(self) -> list[str]:
        """What lies below the data's folder."""
        data = self.folder / "data"
        return sorted(p.relative_to(data).as_posix() for p in data.rglob("*"))


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    resources = write_archives(tmp_path / "served")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("TORCHASSISTANT_TRUST", "toys own_digits")
    monkeypatch.setattr(downloads, "_run", forked)
    with serving(tmp_path / "served") as server:
        monkeypatch.setattr(MNIST, "mirrors", [server.address])
        monkeypatch.setattr(MNIST, "resources", resources)
        yield Lab(tmp_path / "here", server, resources)


def forked(request: Any) -> Any:
    """What the process that fetches does, in one that has torch imported already."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, json.dumps(download_process._outcome(Fetch(**request))).encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answer:
        outcome = json.load(answer)
    os.waitpid(child, 0)
    return outcome


def of(*datasets: Any) -> Config:
    named = {f"digits {i}": ("datasets", spec) for i, spec in enumerate(datasets)}
    return toy_config(**named)


def mnist(root: str = "data", **others: Any) -> Config:
    return {
        "class": "torchvision.datasets.MNIST",
        "args": [root],
        "kwargs": {"download": True, **others},
    }


def test_init_fetches_once_and_check_never_does(lab: Lab) -> None:
    transform = {"class": "torchvision.transforms.ToTensor"}
    write(lab.folder / "c.json", of(mnist(transform=transform), mnist(train=False)))
    status, told = lab.run("check")
    assert status == 0
    assert told.count("the data of MNIST is missing in data: init downloads it") == 2
    status, told = lab.run("check", "--preflight")
    assert status == 2
    assert told.count("the data of MNIST is missing in data: init downloads it") == 2
    assert not lab.server.asked and [p.name for p in lab.folder.iterdir()] == ["c.json"]
    with lab.command("init", "c.json") as run:
        told = run.communicate(timeout=100)[1]
    assert run.returncode == 0, told
    fetched = [path for path in lab.server.asked if path.endswith(FIRST)]
    assert len(fetched) == 2  # torchvision asks first where an address leads
    assert told.count("fetching MNIST into data") == 1 and "100%" in told
    assert len(lab.files()) == 10 and not any(".torch" in name for name in lab.files())
    assert lab.run("check", "--preflight") == (0, "")


def test_archives_that_are_there_are_used(lab: Lab) -> None:
    write_archives(lab.folder / RAW)
    write(lab.folder / "c.json", of(mnist()))
    assert lab.run("init")[0] == 0
    assert not [path for path in lab.server.asked if path.endswith(".gz")]


@pytest.mark.parametrize(
    "kind", ["wrong content", "a FIFO", "a link to a device", "a link for a folder"]
)
def test_what_lies_there_is_looked_at_before_it_is_used(lab: Lab, kind: str) -> None:
    elsewhere = lab.folder.parent / "elsewhere"
    elsewhere.mkdir()
    raw = lab.folder / RAW
    raw.mkdir(parents=True)
    if kind == "wrong content":
        (raw / FIRST).write_bytes(b"no archive")
    elif kind == "a FIFO":
        os.mkfifo(raw / FIRST)
    elif kind == "a link to a device":
        (raw / FIRST).symlink_to("/dev/zero")
    else:
        raw.rmdir()
        raw.symlink_to(elsewhere)
    before = lab.files()
    write(lab.folder / "c.json", of(mnist()))
    status, told = lab.run("init")
    why = {
        "wrong content": f"{FIRST} does not have the MD5 sum that torchvision pins",
        "a link for a folder": "raw is a link, and nothing is written through it",
    }.get(kind, f"{FIRST} is not a regular file; move it away")
    assert status == 2 and why in told
    assert lab.files() == before and not any(elsewhere.iterdir())


@pytest.mark.parametrize("root", ["absolute", "..", "~", "a link", "a file"])
def test_a_folder_that_may_not_be_written(
    lab: Lab, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = lab.folder.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("HOME", str(elsewhere))
    if root == "a link":
        (lab.folder / "data").symlink_to(elsewhere)
    if root == "a file":
        (lab.folder / "data").write_text("")
    named = {"absolute": str(elsewhere), "..": "../elsewhere", "~": "~/below"}.get(root, "data")
    write(lab.folder / "c.json", of(mnist(named)))
    for command in ("check", "init"):
        status, told = lab.run(command)
        assert status == 2
        assert ("is not a folder" if root == "a file" else "--allow-write") in told
    assert not any(elsewhere.iterdir())
    if root == "absolute":
        assert lab.run("init", allow_write=[str(elsewhere)])[0] == 0
        # Data that is there is read wherever it is.
        assert lab.run("check", "--preflight")[0] == 0


def test_a_network_that_fails_is_one_sentence(lab: Lab) -> None:
    (lab.folder.parent / "served" / FIRST).unlink()
    write(lab.folder / "c.json", of(mnist()))
    status, told = lab.run("init")
    assert status == 2 and f"could not be downloaded: {lab.server.address}{FIRST}: " in told
    assert not (lab.folder / "data").exists()


def test_what_comes_with_another_sum_is_not_unpacked(lab: Lab) -> None:
    (lab.folder.parent / "served" / FIRST).write_bytes(b"something else")
    write(lab.folder / "c.json", of(mnist()))
    status, told = lab.run("init")
    assert status == 2 and "the download does not have the MD5 sum that torchvision pins" in told
    assert not (lab.folder / "data").exists()


def test_an_interrupt_leaves_no_litter(lab: Lab) -> None:
    write(lab.folder / "c.json", of(mnist()))
    lab.server.waits.clear()
    with lab.command("init", "c.json") as run:
        while not any(path.endswith(".gz") for path in lab.server.asked):
            time.sleep(0.05)
        assert (lab.folder / "data").is_dir()
        run.send_signal(signal.SIGINT)
        told = run.communicate(timeout=120)[1]
    assert run.returncode == 130 and "nothing was changed" in told
    assert [p.name for p in lab.folder.iterdir()] == ["c.json"]


def test_what_a_killed_fetch_left_is_cleared_away(lab: Lab) -> None:
    left = lab.folder / "data" / ".torchassistant-fetching-x" / "data"
    left.mkdir(parents=True)
    (left / "half").write_text("half")
    write(lab.folder / "c.json", of(mnist()))
    assert lab.run("init")[0] == 0
    assert not any("half" in name for name in lab.files())


AIRCRAFT = "torchvision.datasets.FGVCAircraft"
ASKING = {
    "by keyword": {"class": AIRCRAFT, "args": ["."], "kwargs": {"download": True}},
    "by position": {"class": AIRCRAFT, "args": [".", "train", "family", None, None, True]},
    "inside another": {
        "class": "torch.utils.data.ConcatDataset",
        "args": [[{"class": AIRCRAFT, "kwargs": {"root": ".", "download": True}}]],
    },
    "as a function": {"factory_fn": AIRCRAFT, "args": ["train"], "kwargs": {"download": True}},
    "addresses in a list": {
        "class": "torchvision.datasets.Kinetics",
        "kwargs": {"root": ".", "frames_per_clip": 1, "download": True},
    },
    "by default": {"class": "torchvision.datasets.SBU", "args": ["."]},
}


def test_what_nobody_pinned_is_refused_at_once(lab: Lab) -> None:
    archive = lab.folder / "fgvc-aircraft-2013b.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        member = tarfile.TarInfo("../escaped.py")
        member.size = 4
        tar.addfile(member, BytesIO(b"evil"))
    write(lab.folder / "c.json", of(*ASKING.values()))
    status, told = lab.run("check")
    assert status == 2
    for index, one in enumerate(ASKING.values()):
        name = AIRCRAFT if AIRCRAFT in str(one) else str(one["class"])
        lines = [n for n in told.splitlines() if f"definitions[{8 + index}].spec" in n]
        assert [n for n in lines if f'{name.rpartition(".")[2]} with "download"' in n], one
        assert all("--allow-download on the command line allows it" in n for n in lines)
    # With leave, its members are still kept inside.
    write(lab.folder / "c.json", of(ASKING["by keyword"]))
    status, told = lab.run("init", allow_download=True)
    assert status == 2 and "outside the destination" in told
    assert {p.name for p in lab.folder.iterdir()} == {archive.name, "c.json"}
    assert not (lab.folder.parent / "escaped.py").exists()


def test_without_the_argument_it_reads_what_lies_there(lab: Lab) -> None:
    kwargs = {"root": ".", "frames_per_clip": 1}
    asking = [
        {"class": AIRCRAFT, "args": ["."]},
        {"class": "torchvision.datasets.Kinetics", "kwargs": kwargs},
        {"class": "torchvision.datasets.Cityscapes", "args": ["."]},
    ]
    write(lab.folder / "c.json", of(*asking))
    assert lab.run("check") == (0, "")


def test_who_has_not_asked_for_data_is_told_how_to(lab: Lab) -> None:
    one = {"class": "torchvision.datasets.MNIST", "args": ["nowhere"]}
    write(lab.folder / "c.json", of(one))
    for options in (["check", "--preflight"], ["init"]):
        status, told = lab.run(*options)
        assert status == 2 and 'with "download": true init downloads the data' in told, told


def test_a_class_of_the_user_fetches_nothing_in_a_check(lab: Lab) -> None:
    spec = {"class": "own_digits.Digits", "kwargs": {"root": "data", "download": True}}
    write(lab.folder / "c.json", of(spec))
    status, told = lab.run("check", "--preflight")
    assert status == 2 and "the data of Digits is missing in data: init downloads it" in told
    assert not lab.server.asked and not (lab.folder / "data").exists()
    assert lab.run("init")[0] == 0


HEADERS = {
    "10^12 examples": b"\0\0\x08\3" + b"\xff\xff\xff\xff" * 3,
    "an unknown type": b"\0\0\x77\3" + b"\0\0\0\1" * 3,
    "nothing": b"",
}


@pytest.mark.parametrize("claim", HEADERS)
def test_what_is_unpacked_is_as_large_as_it_says(lab: Lab, claim: str) -> None:
    raw = lab.folder / RAW
    write_archives(raw)
    for archive in raw.glob("*.gz"):
        archive.with_suffix("").write_bytes(gzip.decompress(archive.read_bytes()))
    write(lab.folder / "c.json", of(mnist(), mnist(train=False)))
    # It is read, though its sum is not that of any real one.
    assert lab.run("check", "--preflight") == (0, "")
    (raw / FIRST).with_suffix("").write_bytes(HEADERS[claim])
    status, told = lab.run("check", "--preflight")
    why = "is broken: its header tells of" if "examples" in claim else "is not a file of the idx"
    assert status == 2 and f"MNIST: {RAW}/train-images-idx3-ubyte {why}" in told
    with open((raw / FIRST).with_suffix(""), "wb") as file:
        file.write(b"\0\0\x08\3" + b"\0\0\x40\0" * 3)
        file.truncate(16 + 0x4000**3)  # sparse: four terabytes of zeros
    status, told = lab.run("check", "--preflight")
    assert status == 2 and "more than this machine's memory" in told


def test_one_that_unpacks_without_being_asked_to(lab: Lab) -> None:
    data = lab.folder / "data"
    data.mkdir()
    for name in ("leftImg8bit", "gtFine"):
        with zipfile.ZipFile(data / f"{name}_trainvaltest.zip", "w") as archive:
            archive.writestr(f"{name}/train/town/town_0_{name}.png", "an image")
            archive.writestr("../escaped", "evil")
    before = lab.files()
    write(lab.folder / "c.json", of({"class": "torchvision.datasets.Cityscapes", "args": ["data"]}))
    for command in (["check", "--preflight"], ["init"]):
        status, told = lab.run(*command)
        assert status == 2 and "Cityscapes downloads, follows URLs or unpacks" in told
    assert lab.files() == before
    status, told = lab.run("init", allow_download=True)
    assert status == 0, told
    assert (data / "leftImg8bit" / "train" / "town" / "town_0_leftImg8bit.png").is_file()
    assert lab.run("check", "--preflight") == (0, "")  # it is unpacked now
    assert not any((folder / "escaped").exists() for folder in data.parents)


def test_archives_of_imagenet_are_asked_for_by_name(lab: Lab) -> None:
    write(lab.folder / "c.json", of({"class": "torchvision.datasets.ImageNet", "args": ["data"]}))
    status, told = lab.run("check", "--preflight")
    assert status == 2 and "init unpacks it if its archives are there" in told
    status, told = lab.run("init")
    assert status == 2 and "The archive ILSVRC2012_devkit_t12.tar.gz is not present" in told
    assert f"place it in {lab.folder / 'data'}." in told
    (lab.folder / "data").mkdir()
    (lab.folder / "data" / "ILSVRC2012_devkit_t12.tar.gz").write_bytes(b"another")
    assert lab.run("init")[0] == 2
    assert lab.files() == ["ILSVRC2012_devkit_t12.tar.gz"]
