"""Large outputs are not held on to: the peak is that of a loop by hand, however many batches."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent

# With a fixed threshold every large block goes back to the system as soon as it is free: the peak
# is what is held. Without one, blocks are cut from a heap, which grows where something small is
# kept between them; its peak differs from run to run by a tenth.
ALLOCATORS = {"what is held": ({"MALLOC_MMAP_THRESHOLD_": "131072"}, 1.1), "the heap": ({}, 1.3)}


def peak_of(way: str, training: int, validation: int, folder: Path, env: dict[str, str]) -> int:
    """The most memory that a run held, in KiB."""
    path = os.pathsep.join([str(HERE.parents[1]), str(HERE)])
    command = [sys.executable, str(HERE / "large_outputs.py"), way]
    done = subprocess.run(
        [*command, str(training), str(validation), str(folder / way)],
        env={**os.environ, "PYTHONPATH": path, **env},
        cwd=HERE,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


LONG = pytest.mark.slow
"""One run that is long in both shows what either holds; these tell which of them it was. The heap
tells the same less surely."""


@pytest.mark.parametrize(
    ("training", "validation"),
    [(32, 32), pytest.param(4, 120, marks=LONG), pytest.param(120, 4, marks=LONG)],
)
@pytest.mark.parametrize("allocator", ["what is held", pytest.param("the heap", marks=LONG)])
def test_the_peak_is_that_of_a_loop_by_hand(
    tmp_path: Path, training: int, validation: int, allocator: str
) -> None:
    env, most = ALLOCATORS[allocator]
    ours = peak_of("config", training, validation, tmp_path, env)
    hand = peak_of("hand", training, validation, tmp_path, env)
    assert ours <= most * hand
