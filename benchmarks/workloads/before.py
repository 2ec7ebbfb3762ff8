"""The version before the breadth and this one: what is not used costs nothing.

Each measures its own workloads, in turn, in a process of its own, beside the same loops by hand.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from benchmarks.figures import Figure, Spread
from benchmarks.records import read_one

COMMIT = "8188972"
"""Of 2026-11-21: datasets, splits, graphs, pipelines, stages, losses, metrics, checkpoints."""

ROOT = Path(__file__).resolve().parents[2]
MEASURED = ("one-layer", "ten-nodes", "gan")
"""Of the others iterations take so long that a cost of this kind is lost in what they vary by."""

LOOPS = ("loop by hand, no bar", "a GAN's loop by hand")


def missing() -> str | None:
    """Why this cannot be measured here; None where it can."""
    there = subprocess.run(["git", "cat-file", "-e", COMMIT], cwd=ROOT, capture_output=True)
    return None if there.returncode == 0 else f"there is no commit {COMMIT} in the repository"


def measure(quick: bool) -> list[Figure]:
    """The ratio to the bare loop, of this version over that of the one before."""
    ratios: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder, "before")
        _export(before)
        for _ in range(1 if quick else 3):
            for name in MEASURED[: 1 if quick else None]:
                then = _ratios(name, before, Path(folder), quick)
                now = _ratios(name, ROOT, Path(folder), quick)
                for what in then.keys() & now.keys():
                    ratios[what].append((now[what], then[what]))
    return [_figure(what, pairs) for what, pairs in sorted(ratios.items())]


def _figure(what: str, pairs: list[tuple[float, float]]) -> Figure:
    now, then = zip(*pairs, strict=True)
    return Figure(
        what=f"{what}, over the bare loop",
        against=f"the version of 2026-11-21 ({COMMIT})",
        spread=Spread.of(one / other for one, other in pairs),
        ours=Spread.of(now).median,
        theirs=Spread.of(then).median,
        sides="×",
        at_most=1.0,
    )


def _export(folder: Path) -> None:
    folder.mkdir()
    archive = subprocess.Popen(["git", "archive", COMMIT], cwd=ROOT, stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x", "-C", folder], stdin=archive.stdout, check=True)
    if archive.wait():
        raise OSError(f"the commit {COMMIT} could not be exported")


def _ratios(name: str, version: Path, folder: Path, quick: bool) -> dict[str, float]:
    """What a version measures of a workload beside the bare loop, by what it measures."""
    results = folder / f"{version.name}-{name}"
    more = ["--quick"] if quick else []
    subprocess.run(
        [sys.executable, "-m", "benchmarks", "--only", name, "--results", str(results), *more],
        cwd=version,
        env={**os.environ, "PYTHONPATH": str(version)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    found = read_one(name, results)
    assert found is not None, "the command has written it"
    return {f.what: f.spread.median for f in found.figures if f.against in LOOPS}
