"""Stopped at any step, once or twice, training goes on to the same bytes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest
from cuts import CUTS, SMALL, Cut, trained
from faults import Tally, assert_exact, counted, dice, tallied
from process_harness import ProcessHarness


def cut_runs(
    harness: ProcessHarness, folder: Path, workers: int, runs: Sequence[Sequence[Cut]], tally: Tally
) -> None:
    """Runs that are stopped at all of their cuts, and then finished."""
    reference = harness.reference(workers=workers, **SMALL)
    for number, cuts in enumerate(runs):
        with tally.run(f"{workers} workers, cut at {cuts}"):
            session = reference.copy(folder / str(number))
            for cut in cuts:
                trained(session, cut)
            trained(session)
            assert_exact(session, reference)


@pytest.mark.parametrize(
    ("workers", "runs"),
    [
        (0, [CUTS[:1], CUTS[7:8], [(6, "training"), (6, "validation")], CUTS[8:12:3]]),
        (2, [[(4, "training"), (5, "training")]]),
    ],
)
def test_some_cuts(
    harness: ProcessHarness, tmp_path: Path, workers: int, runs: list[list[Cut]]
) -> None:
    tally = Tally("some cuts")
    cut_runs(harness, tmp_path, workers, runs, tally)
    tally.close()


@pytest.mark.faults
@pytest.mark.parametrize("workers", [0, 2])
def test_every_cut(harness: ProcessHarness, tmp_path: Path, workers: int) -> None:
    with tallied(f"a cut at every step and in every validation, {workers} workers") as tally:
        cut_runs(harness, tmp_path, workers, [[cut] for cut in CUTS], tally)


@pytest.mark.faults
@pytest.mark.parametrize("workers", [0, 2])
def test_every_two_cuts(harness: ProcessHarness, tmp_path: Path, workers: int) -> None:
    pairs = list(itertools.combinations(CUTS, 2))
    chosen = dice("pairs").sample(pairs, counted(len(pairs)))
    with tallied(f"two cuts in one run, {workers} workers") as tally:
        cut_runs(harness, tmp_path, workers, chosen, tally)


@pytest.mark.faults
def test_a_cut_at_every_step(harness: ProcessHarness, tmp_path: Path) -> None:
    """One run that never does more than one step at a time."""
    with tallied("a cut after every step, in one run") as tally:
        cut_runs(harness, tmp_path, 0, [CUTS], tally)
