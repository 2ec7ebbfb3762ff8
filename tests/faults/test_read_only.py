"""A read-only session folder can be used, but not trained."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import Tally, tallied, tree
from interruptions import SMALL, train
from process_harness import ProcessHarness, Victim

NOBODY = 65534 if os.geteuid() == 0 else None
"""The user that runs the commands: root may write everywhere."""

INFERENCE = {
    "session_dir": "run",
    "inference_pipeline": "check",
    "inputs_meta": [{"input_converter": {"class": "fault_parts.NumberToRow"}}],
    "results": ["y_hat"],
}


@pytest.fixture
def read_only(harness: ProcessHarness) -> Iterator[Path]:
    """A read-only folder with a session in the middle of its run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        session = harness.reference(**SMALL).copy(folder)
        train(session, (8, "training"))
        (folder / "inference.json").write_text(json.dumps(INFERENCE))
        everything = [folder, *folder.rglob("*")]
        for path in everything:
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield folder
        for path in everything:
            path.chmod(0o755)


def used(harness: ProcessHarness, folder: Path, tally: Tally) -> None:
    """Run every command, and verify that nothing was changed."""
    before = tree(folder)
    commands = {
        "evaluate run": 0,
        "evaluate run --json": 0,
        "evaluate run --checkpoint best": 0,
        "evaluate run --checkpoint 8": 0,
        "infer inference.json 1,2 3,4": 0,
        "infer inference.json 1,2 --checkpoint last": 0,
        "train run": 2,
    }
    for command, status in commands.items():
        victim = harness.run(folder, *command.split(), user=NOBODY)
        with tally.run(command):
            assert_answered(victim, status)
            assert tree(folder) == before


def assert_answered(victim: Victim, status: int) -> None:
    """A result without messages, or one line of error."""
    assert victim.status == status, victim.stderr
    if status:
        assert victim.stdout == ""
        assert victim.stderr.startswith("error: ") and victim.stderr.count("\n") == 1, victim.stderr
    else:
        assert victim.stdout
        assert "warning" not in victim.stderr and "error" not in victim.stderr, victim.stderr


def test_a_read_only_folder(harness: ProcessHarness, read_only: Path) -> None:
    tally = Tally("a read-only folder")
    used(harness, read_only, tally)
    tally.close()


@pytest.mark.faults
def test_read_only_folders(harness: ProcessHarness, read_only: Path) -> None:
    """The same, with figures."""
    with tallied("a read-only folder") as tally:
        used(harness, read_only, tally)
