"""Nothing gets its final name before it is on disk: sync files, then their folder, then rename."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from faults import Tally, tallied
from interruptions import SMALL
from process_harness import ProcessHarness

Event = dict[str, Any]


def synced_run(harness: ProcessHarness, folder: Path, *patches: str) -> list[str]:
    """Train, record every sync and every rename, and return what was renamed too early."""
    session = harness.reference(**SMALL).copy(folder)
    record = folder / "record.jsonl"
    patches = ("recording", *patches)
    victim = harness.run(
        folder, "train", "run", env={"FAULTS_RECORD": str(record)}, patches=patches
    )
    assert victim.status == 0, victim.stderr
    events = [json.loads(line) for line in record.read_text().splitlines()]
    return unsynced(events, session) + unsynced_rows(events, session)


def unsynced(events: list[Event], session: Path) -> list[str]:
    """Files that were renamed before they were synced, or whose new name was not synced soon."""
    found: list[str] = []
    synced: dict[str, int] = {}
    waiting: dict[str, str] = {}
    for event in events:
        if "sync" in event:
            synced[event["sync"]] = event["at"]
            waiting.pop(event["sync"], None)
            continue
        source, target = event["rename"]
        if not is_shown(source, target, session):
            continue
        found += [f"the new name {name} was not synced" for name in waiting.values()]
        waiting = {event["parent"]: target}
        found += [
            f"{path} was not synced before it became {target}"
            for path, (identity, changed) in event["inside"].items()
            if synced.get(identity, 0) < changed
        ]
    return found + [f"the new name {name} was not synced" for name in waiting.values()]


def is_shown(source: str, target: str, session: Path) -> bool:
    """Whether a rename gives something in the session its final name."""
    return not any(
        part.startswith(".") for part in Path(target).relative_to(session.resolve()).parts
    )


def unsynced_rows(events: list[Event], session: Path) -> list[str]:
    """Histories that were written after they were last synced."""
    synced = {event["sync"]: event["at"] for event in events if "sync" in event}
    found = []
    for path in sorted([*(session / "metrics").iterdir(), *(session / "history").iterdir()]):
        status = path.stat()
        if synced.get(f"{status.st_dev}:{status.st_ino}", 0) < status.st_mtime_ns:
            found.append(f"{path} was not synced")
    return found


def renames(harness: ProcessHarness, folder: Path, tally: Tally) -> None:
    """One run."""
    tally.note("a run", "; ".join(synced_run(harness, folder)) or None)


def test_all_is_synced_before_it_is_shown(harness: ProcessHarness, tmp_path: Path) -> None:
    tally = Tally("syncing")
    renames(harness, tmp_path, tally)
    tally.close()


@pytest.mark.faults
def test_syncing(harness: ProcessHarness, tmp_path: Path) -> None:
    """The same, with figures."""
    with tallied("synced before it is shown") as tally:
        renames(harness, tmp_path, tally)
