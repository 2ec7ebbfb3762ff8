"""Symbolic links planted in a session folder are not followed out of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from faults import Tally, checkpoints_of, tallied, tree
from interruptions import SMALL, train
from process_harness import ProcessHarness

REFUSED = ("checkpoints", "metrics", "history", "static", "spec.json", "checkpoints/{newest}")
UNTOUCHED = (
    "environment.json",
    "metrics/0.csv",
    "metrics/1.csv",
    "history/0.csv",
    "static/splits",
    "checkpoints/{newest}/models",
    "checkpoints/{newest}/manifest.json",
)


def planted(harness: ProcessHarness, session: Path, name: str, refused: bool) -> None:
    """Move a part of a session elsewhere, and put a link in its place."""
    part = session / name.format(newest=checkpoints_of(session)[-1].name)
    elsewhere = session.parent / "elsewhere"
    elsewhere.mkdir()
    shutil.move(part, elsewhere / part.name)
    part.symlink_to(elsewhere / part.name)
    before = tree(elsewhere)
    victim = harness.run(session.parent, "train", "run")
    assert tree(elsewhere) == before, "it wrote elsewhere"
    assert "Traceback" not in victim.stderr, victim.stderr
    if refused:
        assert victim.status == 2, f"status {victim.status}:\n{victim.stderr}"
        assert "link" in victim.stderr, victim.stderr
    elif victim.status == 0:
        assert "warning" in victim.stderr, victim.stderr


def links(harness: ProcessHarness, folder: Path, tally: Tally) -> None:
    """Every part, one at a time."""
    begun = harness.reference(**SMALL).copy(folder / "begun")
    train(begun, (11, "training"))
    for number, name in enumerate([*REFUSED, *UNTOUCHED]):
        session = Path(shutil.copytree(begun, folder / str(number) / "run"))
        with tally.run(f"a link for {name}"):
            planted(harness, session, name, name in REFUSED)


def test_links(harness: ProcessHarness, tmp_path: Path) -> None:
    tally = Tally("links")
    links(harness, tmp_path, tally)
    tally.close()


@pytest.mark.faults
def test_links_counted(harness: ProcessHarness, tmp_path: Path) -> None:
    """The same, with figures."""
    with tallied("a link planted in the session folder") as tally:
        links(harness, tmp_path, tally)
