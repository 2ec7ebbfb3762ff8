"""The disk fills up during a run: this is reported, and the run resumes when there is space."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import Reference, Tally, assert_valid, counted, rng_for, tallied, tree
from process_harness import ProcessHarness, finish

DISK = 8 << 20
PAGE = 4096


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of a few megabytes, in memory."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            pytest.skip(f"there is no mount: {error}")
        if done.returncode:
            pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


def full_disk(harness: ProcessHarness, disk: Path, reference: Reference, free: int) -> bool:
    """Train with so many bytes free, and then to the end; returns whether the disk was full."""
    session = reference.copy(disk / str(free))
    ballast = disk / "ballast"
    room = os.statvfs(disk)
    ballast.touch()
    os.truncate(ballast, 0)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, room.f_bavail * room.f_frsize - free))
    victim = harness.run(session.parent, "train", "run")
    ballast.unlink()
    assert_valid(session)
    assert victim.status in (0, 1), f"status {victim.status}:\n{victim.stderr}"
    if victim.status:
        assert "No space left on device" in victim.stderr, victim.stderr
        assert "Traceback" not in victim.stderr, victim.stderr
    finish(harness, session, reference)
    shutil.rmtree(session.parent)
    return victim.status == 1


def needed(reference: Reference) -> int:
    """About how many bytes a run adds to a session."""
    sizes = [
        sum(-(-len(data) // PAGE) * PAGE for data in tree(reference.folder / name).values())
        for name in ("start", "run")
    ]
    return sizes[1] - sizes[0]


def test_a_full_disk(harness: ProcessHarness, tmp_path: Path, small_disk: Path) -> None:
    reference = harness.reference()
    tally = Tally("a full disk")
    with tally.run("half of the room"):
        assert full_disk(harness, small_disk, reference, needed(reference) // 2)
    tally.close()


@pytest.mark.faults
def test_full_disks(harness: ProcessHarness, tmp_path: Path, small_disk: Path) -> None:
    reference = harness.reference()
    most = needed(reference) // PAGE
    with tallied("the disk fills up") as tally:
        for number in range(counted(50)):
            free = PAGE * rng_for("disk", number).randrange(most) + number
            with tally.run(f"{free} bytes free of about {needed(reference)}"):
                full_disk(harness, small_disk, reference, free)
