"""Several processes whose models are on GPUs: on one they share it, of several each has its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from exact_configs import Config
from test_part_states import older
from test_processes import ENVIRONMENT, ROOT, assert_same, copied, noisy, wait_for
from test_recipe_cyclegan import cyclegan
from test_recipe_transformer import recipe

from torchassistant import create_session

PATIENCE = 300


@pytest.fixture(params=["one", "each"])
def environment(request: pytest.FixtureRequest) -> Mapping[str, str]:
    """Of commands: one GPU for all processes, or as many as there are."""
    if request.param == "each":
        if torch.cuda.device_count() < 2:
            pytest.skip("there is one CUDA device")
        return ENVIRONMENT
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    return {**ENVIRONMENT, "CUDA_VISIBLE_DEVICES": first}


def commanded(environment: Mapping[str, str], script: str, *arguments: object) -> str:
    """What a command prints; processes cannot be forked from one that has used a GPU."""
    done = subprocess.run(
        [sys.executable, str(ROOT / script), *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def created(config: Config, folder: Path, *names: str) -> list[Path]:
    on_gpu = {**config, "device": "cuda", "deterministic": True}
    create_session(on_gpu, session_dir=folder / "new")
    return [copied(folder / "new", name) for name in names]


CONFIGS = {
    "classifier": noisy,
    "gan": cyclegan,
    "kept by parts": lambda: older(None),
    "synced": lambda: noisy(sync_batch_norm=True),
    "transformer": recipe,
}


@pytest.mark.parametrize("name", CONFIGS)
def test_two_runs_have_the_same_bits(
    tmp_path: Path, name: str, environment: Mapping[str, str]
) -> None:
    one, other = created(CONFIGS[name](), tmp_path, "one", "other")
    for path in (one, other):
        commanded(environment, "train.py", path, "--processes", 2)
    assert_same(one, other)


@pytest.mark.parametrize("name", ["classifier", "gan", "kept by parts", "transformer"])
def test_one_process_has_the_same_bits(
    tmp_path: Path, name: str, environment: Mapping[str, str]
) -> None:
    in_parts = {**CONFIGS[name](), "distributed": {"logical_ranks": 2}}
    together, alone = created(in_parts, tmp_path, "together", "alone")
    commanded(environment, "train.py", together, "--processes", 2)
    commanded(environment, "train.py", alone)
    assert_same(together, alone)


def test_a_run_that_was_killed_goes_on_exactly(
    tmp_path: Path, environment: Mapping[str, str]
) -> None:
    config = noisy()
    config["train"]["stages"][0]["stop_condition"]["args"] = [60]
    whole, killed = created(config, tmp_path, "whole", "killed")
    commanded(environment, "train.py", whole, "--processes", 2)
    launcher = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), str(killed), "--processes", "2"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    rows = killed / "metrics" / "0.csv"
    wait_for(lambda: rows.exists() and len(rows.read_text().splitlines()) > 3)
    launcher.send_signal(signal.SIGKILL)
    launcher.communicate(timeout=PATIENCE)  # until all have closed the stream
    assert len(rows.read_text().splitlines()) < 60
    commanded(environment, "train.py", killed, "--processes", 2)
    assert_same(whole, killed)


def test_results_are_those_of_one_process(tmp_path: Path, environment: Mapping[str, str]) -> None:
    (run,) = created(noisy(), tmp_path, "run")
    several = ("--processes", 2)
    results = [
        json.loads(commanded(environment, "evaluate.py", run, "--json", *more))
        for more in ((), several)
    ]
    assert results[0] == results[1]
    tables = [tmp_path / f"{count}.csv" for count in (1, 2)]
    for table, more in zip(tables, ((), several), strict=True):
        commanded(environment, "infer.py", run, "--pipeline", "val", "-o", table, *more)
    assert tables[0].read_text() == tables[1].read_text()
