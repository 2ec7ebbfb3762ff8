"""Mutation checks: with a safeguard disabled, at least one check of the fault tests fails."""

from __future__ import annotations

import time
from pathlib import Path

import patches
import pytest
from damage import complaint, interrupted_session
from faults import assert_valid, rng_for
from process_harness import ProcessHarness, finish
from test_kills import killed
from test_many_trainers import many_trainers
from test_syncing import synced_run

WEIGHTS = "models/encoder.safetensors"


def test_without_fsync(harness: ProcessHarness, tmp_path: Path) -> None:
    found = synced_run(harness, tmp_path, "without_fsync")
    assert any("was not synced before" in text for text in found)
    assert any("the new name" in text for text in found)


@pytest.mark.faults
def test_without_rename(harness: ProcessHarness, tmp_path: Path) -> None:
    """A file that is copied to its final name is found incomplete when the process is killed."""
    reference = harness.reference()
    slow = reference.copy(tmp_path / "slow")
    started = time.monotonic()
    assert harness.run(slow.parent, "train", "run", patches=["without_rename"]).status == 0
    seconds = time.monotonic() - started
    with pytest.raises(AssertionError):
        for number in range(20):
            session = reference.copy(tmp_path / str(number))
            killed(
                harness, session, rng_for("rename", number).uniform(0, seconds), "without_rename"
            )
            assert_valid(session)
            finish(harness, session, reference)


def test_without_checksum(
    harness: ProcessHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit flips in the weights are accepted."""
    patches.without_checksum(monkeypatch.setattr)
    session = interrupted_session(harness, tmp_path, "without_checksum")
    name = f"checkpoints/{session.names[-1]}/{WEIGHTS}"
    data = bytearray(session.files[name])
    data[-1 - rng_for("weights").randrange(8)] ^= 1
    (session.session / name).write_bytes(data)
    found = complaint(session, name)
    assert found is not None and found.startswith("it was accepted"), found


def test_without_lock(harness: ProcessHarness, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="won; all statuses"):
        many_trainers(harness, tmp_path, "without_lock", crowd=3, patience=3)
