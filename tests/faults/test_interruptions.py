"""Interrupted at any step, once or twice, training resumes to the same bytes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest
from faults import Tally, assert_exact, counted, rng_for, tallied
from interruptions import INTERRUPTIONS, SMALL, Interruption, train
from process_harness import ProcessHarness


def interrupted_runs(
    harness: ProcessHarness,
    folder: Path,
    workers: int,
    runs: Sequence[Sequence[Interruption]],
    tally: Tally,
) -> None:
    """Runs that are interrupted at all given places, and then finished."""
    reference = harness.reference(workers=workers, **SMALL)
    for number, places in enumerate(runs):
        with tally.run(f"{workers} workers, interrupted at {places}"):
            session = reference.copy(folder / str(number))
            for place in places:
                train(session, place)
            train(session)
            assert_exact(session, reference)


@pytest.mark.parametrize(
    ("workers", "runs"),
    [
        (
            0,
            [
                INTERRUPTIONS[:1],
                INTERRUPTIONS[7:8],
                [(6, "training"), (6, "validation")],
                INTERRUPTIONS[8:12:3],
            ],
        ),
        (2, [[(4, "training"), (5, "training")]]),
    ],
)
def test_some_interruptions(
    harness: ProcessHarness, tmp_path: Path, workers: int, runs: list[list[Interruption]]
) -> None:
    tally = Tally("some places")
    interrupted_runs(harness, tmp_path, workers, runs, tally)
    tally.close()


@pytest.mark.faults
@pytest.mark.parametrize("workers", [0, 2])
def test_every_interruption(harness: ProcessHarness, tmp_path: Path, workers: int) -> None:
    with tallied(
        f"an interruption at every step and in every validation, {workers} workers"
    ) as tally:
        interrupted_runs(harness, tmp_path, workers, [[place] for place in INTERRUPTIONS], tally)


@pytest.mark.faults
@pytest.mark.parametrize("workers", [0, 2])
def test_every_two_interruptions(harness: ProcessHarness, tmp_path: Path, workers: int) -> None:
    pairs = list(itertools.combinations(INTERRUPTIONS, 2))
    chosen = rng_for("pairs").sample(pairs, counted(len(pairs)))
    with tallied(f"two interruptions in one run, {workers} workers") as tally:
        interrupted_runs(harness, tmp_path, workers, chosen, tally)


@pytest.mark.faults
def test_an_interruption_at_every_step(harness: ProcessHarness, tmp_path: Path) -> None:
    """One run that is interrupted after each step."""
    with tallied("an interruption after every step, in one run") as tally:
        interrupted_runs(harness, tmp_path, 0, [INTERRUPTIONS], tally)
