"""Fuzzing of configs, sessions and caches: never a crash, a hang or a file elsewhere.

``make test-faults`` does it for ten minutes; a few seconds of it belong to the normal suite.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz_targets import sources
from fuzzing import Fuzzer, configs, folders, seconds

CONFIGS = configs(list(sources()), ["check"])
PREFLIGHTS = configs(["runnable"], ["preflight"])


@pytest.mark.parametrize("kind", ["configs", "caches"])
def test_a_little_fuzzing(tmp_path: Path, kind: str) -> None:
    recipes = CONFIGS if kind == "configs" else folders()
    Fuzzer(kind, recipes, tmp_path / kind).run(1.5, seed=1)


@pytest.mark.faults
def test_fuzzing_configs(tmp_path: Path) -> None:
    Fuzzer("configs", CONFIGS, tmp_path / "configs").run(seconds(0.25))


@pytest.mark.faults
def test_fuzzing_preflights(tmp_path: Path) -> None:
    Fuzzer("configs", PREFLIGHTS, tmp_path / "configs").run(seconds(0.15))


@pytest.mark.faults
def test_fuzzing_sessions(tmp_path: Path) -> None:
    Fuzzer("sessions", folders(), tmp_path / "sessions").run(seconds(0.3))


@pytest.mark.faults
def test_fuzzing_caches(tmp_path: Path) -> None:
    Fuzzer("caches", folders(), tmp_path / "caches").run(seconds(0.3))
