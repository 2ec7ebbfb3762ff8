"""Closed or full standard streams, a terminal, other locales: the same bytes."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from faults import ROOT, Tally, assert_exact, environment, tallied
from interruptions import SMALL
from process_harness import ProcessHarness

FULL = "/dev/full"

STREAMS: dict[str, dict[str, Any]] = {
    "no standard output": {"closed": [1]},
    "no standard error": {"closed": [2]},
    "no standard stream": {"closed": [0, 1, 2]},
    "standard output is full": {"files": {1: FULL}},
    "standard error is full": {"files": {2: FULL}},
    "both are full": {"files": {1: FULL, 2: FULL}},
}

REDIRECTIONS = {
    "no standard input": "<&-",
    "no standard output": ">&-",
    "no standard error": "2>&-",
    "no standard stream": "<&- >&- 2>&-",
    "standard output is full": ">/dev/full",
    "standard error is full": "2>/dev/full",
    "both are full": ">/dev/full 2>/dev/full",
    "nobody reads standard output": "| true",
    "nobody reads standard error": "2>&1 >/dev/null | true",
}
"""As the shell writes them."""

LOCALES = {
    "C": {"LC_ALL": "C"},
    "C without UTF-8": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "German": {"LC_ALL": "de_DE.UTF-8", "FAULTS_LOCALE": "de_DE.UTF-8"},
    "Turkish": {"LC_ALL": "tr_TR.UTF-8", "FAULTS_LOCALE": "tr_TR.UTF-8"},
    "German in Latin-1": {"LC_ALL": "de_DE", "PYTHONUTF8": "0", "FAULTS_LOCALE": "de_DE"},
    "one that is not there": {"LC_ALL": "xx_XX.UTF-8"},
}


def streams(harness: ProcessHarness, folder: Path, tally: Tally) -> None:
    """Train with streams that cannot be used."""
    reference = harness.reference(**SMALL)
    for number, (what, options) in enumerate(STREAMS.items()):
        with tally.run(what):
            session = reference.copy(folder / str(number))
            victim = harness.run(session.parent, "train", "run", **options)
            is_full = FULL in options.get("files", {}).values()
            assert victim.status == 0 or is_full, f"status {victim.status}:\n{victim.stderr}"
            assert_exact(session, reference)


def on_a_terminal(harness: ProcessHarness, folder: Path) -> None:
    """Train with a bar."""
    reference = harness.reference(**SMALL)
    session = reference.copy(folder)
    main, other = pty.openpty()
    shown: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError):
            while data := os.read(main, 4096):
                shown.append(data)

    reader = threading.Thread(target=read)
    reader.start()
    name = os.ttyname(other)
    victim = harness.start(folder, "train", "run", files={1: name, 2: name})
    status = victim.wait()
    os.close(other)
    reader.join()
    os.close(main)
    assert status == 0 and b"is finished" in b"".join(shown), b"".join(shown)
    assert_exact(session, reference)


def fresh(
    harness: ProcessHarness,
    folder: Path,
    redirection: str = "",
    env: Mapping[str, str] | None = None,
    status: int | None = None,
) -> None:
    """Train in an interpreter of its own."""
    reference = harness.reference(**SMALL)
    session = reference.copy(folder)
    done = subprocess.run(
        ["sh", "-c", f'"$0" "$1" run {redirection}', sys.executable, str(ROOT / "train.py")],
        cwd=folder,
        env={**os.environ, **environment(), **(env or {})},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
        check=False,
    )
    assert status is None or done.returncode == status, f"{done.returncode}: {done.stderr}"
    assert_exact(session, reference)


def compiled(folder: Path, *names: str) -> dict[str, str]:
    """Locales, made where the system can; elsewhere they are only names."""
    folder.mkdir(exist_ok=True)
    for name in names:
        charset = name.partition(".")[2] or "ISO-8859-1"
        command = ["localedef", "-i", name[:5], "-f", charset, str(folder / name)]
        with contextlib.suppress(OSError):
            subprocess.run(command, capture_output=True, check=False)
    return {"LOCPATH": str(folder)} if any(folder.iterdir()) else {}


def test_some_streams(harness: ProcessHarness, tmp_path: Path) -> None:
    tally = Tally("some streams")
    streams(harness, tmp_path, tally)
    with tally.run("a terminal"):
        on_a_terminal(harness, tmp_path / "terminal")
    tally.close()


@pytest.mark.faults
def test_a_locale(harness: ProcessHarness, tmp_path: Path) -> None:
    locales = compiled(tmp_path / "locales", "tr_TR.UTF-8")
    tally = Tally("a locale")
    with tally.run("Turkish"):
        fresh(harness, tmp_path / "Turkish", ">&-", {**locales, **LOCALES["Turkish"]}, 0)
    tally.close()


@pytest.mark.faults
def test_streams(harness: ProcessHarness, tmp_path: Path) -> None:
    with tallied("standard streams that are closed or full") as tally:
        streams(harness, tmp_path / "forked", tally)
        with tally.run("a terminal"):
            on_a_terminal(harness, tmp_path / "terminal")
        for number, (what, redirection) in enumerate(REDIRECTIONS.items()):
            status = None if "|" in redirection or FULL in redirection else 0
            with tally.run(f"{what}: {redirection}"):
                fresh(harness, tmp_path / str(number), redirection, status=status)


@pytest.mark.faults
def test_locales(harness: ProcessHarness, tmp_path: Path) -> None:
    locales = compiled(tmp_path / "locales", "de_DE.UTF-8", "tr_TR.UTF-8", "de_DE")
    with tallied("locales") as tally:
        for name, env in LOCALES.items():
            with tally.run(name):
                fresh(harness, tmp_path / name, env={**locales, **env}, status=0)
