"""Makes the test parts importable, and starts one process harness per test process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "exactness")]
# The last bits depend on it, and the processes of one test must agree.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)

from process_harness import ProcessHarness  # noqa: E402


@pytest.fixture(scope="session")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessHarness]:
    """One fork server and its references for all tests of this process."""
    harness = ProcessHarness(tmp_path_factory.mktemp("harness"))
    yield harness
    harness.close()
