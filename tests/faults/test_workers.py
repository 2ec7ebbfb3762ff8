"""Loader workers that die, raise or hang: a clear error, no orphan, and an exact resume."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults import Reference, Tally, assert_valid, counted, rng_for, tallied
from process_harness import ProcessHarness, finish

PATIENCE = 3
"""Of the loaders, in seconds."""

SAID = {
    "kill": ("worker",),
    "raise": ("LookupError: example {index} is unreadable", "fault_parts.py"),
    "hang": ("no batch came after",),
}
COUNT = 24


def broken_worker(
    harness: ProcessHarness, folder: Path, reference: Reference, fault: str, index: int
) -> None:
    """Train with an example that injects a fault, and then to the end without it."""
    session = reference.copy(folder)
    victim = harness.run(folder, "train", "run", env={"FAULTS_EXAMPLE": f"{index} {fault}"})
    left = victim.survivors(seconds=1)
    assert not left, f"workers live on: {left}"
    assert victim.status == 1, f"status {victim.status}:\n{victim.stderr}"
    assert "error: " in victim.stderr, victim.stderr
    for text in SAID[fault]:
        assert text.format(index=index) in victim.stderr, victim.stderr
    assert_valid(session)
    finish(harness, session, reference)


@pytest.mark.parametrize("fault", list(SAID))
def test_a_broken_worker(harness: ProcessHarness, tmp_path: Path, fault: str) -> None:
    tally = Tally("a broken worker")
    with tally.run(fault):
        broken_worker(harness, tmp_path, harness.reference(workers=2, timeout=PATIENCE), fault, 5)
    tally.close()


@pytest.mark.faults
@pytest.mark.parametrize(("fault", "count"), [("kill", COUNT), ("raise", COUNT), ("hang", 6)])
def test_broken_workers(harness: ProcessHarness, tmp_path: Path, fault: str, count: int) -> None:
    """At examples of the training slice and of the validation slice."""
    reference = harness.reference(workers=2, timeout=PATIENCE)
    with tallied(f"a worker: {fault}") as tally:
        for index in rng_for("worker", fault).sample(range(COUNT), counted(count)):
            with tally.run(f"{fault} at example {index}"):
                broken_worker(harness, tmp_path / str(index), reference, fault, index)
