"""Workers that die, raise or hang: a clear error, no orphan, and all goes on to the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults import Reference, Tally, assert_sound, counted, dice, tallied
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
    """Train with an example that does a fault, and then to the end without it."""
    session = reference.copy(folder)
    victim = harness.run(folder, "train", "run", env={"FAULTS_EXAMPLE": f"{index} {fault}"})
    left = victim.survivors(seconds=1)
    assert not left, f"workers live on: {left}"
    assert victim.status == 1, f"status {victim.status}:\n{victim.told}"
    assert "error: " in victim.told, victim.told
    for text in SAID[fault]:
        assert text.format(index=index) in victim.told, victim.told
    assert_sound(session)
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
    """At examples that are trained on, and at others that are only validated with."""
    reference = harness.reference(workers=2, timeout=PATIENCE)
    with tallied(f"a worker: {fault}") as tally:
        for index in dice("worker", fault).sample(range(COUNT), counted(count)):
            with tally.run(f"{fault} at example {index}"):
                broken_worker(harness, tmp_path / str(index), reference, fault, index)
