"""The benchmarks run, train what a loop by hand trains, and the page says what was measured.

What they measure is not asserted: that depends on the machine.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.__main__ import measure
from benchmarks.alternation import same
from benchmarks.figures import Figure, Spread
from benchmarks.records import Result, read_all, read_one
from benchmarks.report import PAGE, page
from benchmarks.tasks import one_layer
from benchmarks.workloads import BEFORE, GPU, PEERS, WORKLOADS, before
from torchassistant import create_session

ROOT = Path(__file__).resolve().parents[1]
CHEAP = ("one-layer", "gan", "more-pipelines", "averages", "listeners")
TRAINED_TWICE = {
    *("one-layer", "lenet", "ten-nodes", "gan", "more-nodes", "more-pipelines", "listeners"),
    *("commands", "epochs", "two-processes"),
}


def run(name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A workload with tiny sizes."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", "--only", name, "--quick", "--results", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "name",
    [
        name if name == CHEAP[0] else pytest.param(name, marks=pytest.mark.slow)
        for name in WORKLOADS
    ],
)
def test_the_command_measures_a_workload(name: str, tmp_path: Path) -> None:
    done = run(name, tmp_path)
    assert done.returncode == 0, done.stderr
    assert_measured(name, tmp_path, done.stdout)


@pytest.mark.parametrize("name", CHEAP[1:])
def test_a_workload_is_measured_and_trains_the_same_weights(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the command does it, in this process, which has imported what a new one would have to."""
    status = measure(name, True, tmp_path)
    said = capsys.readouterr()
    assert status == 0, said.err
    assert_measured(name, tmp_path, said.out)


def assert_measured(name: str, folder: Path, said: str) -> None:
    (result,) = read_all(folder)
    assert result.workload == name
    assert {"processor", "cores", "memory", "threads", "torch"} <= result.circumstances.keys()
    assert result.figures
    for figure in result.figures:
        assert figure.spread.low <= figure.spread.median <= figure.spread.high
        assert figure.what in said
    identical = {figure.identical for figure in result.figures} - {None}
    assert identical == ({True} if name in TRAINED_TWICE else set())


@pytest.mark.parametrize("name", GPU)
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_what_needs_a_gpu_is_left_out_with_a_word(name: str, tmp_path: Path) -> None:
    done = run(name, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{name}: left out, there is no CUDA device"
    assert read_all(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", BEFORE)
def test_this_version_is_measured_beside_an_earlier_one(name: str, tmp_path: Path) -> None:
    reason = before.missing()
    if reason is not None:
        pytest.skip(reason)
    done = run(name, tmp_path)
    assert done.returncode == 0, done.stderr
    (result,) = read_all(tmp_path)
    against = f"the version of 2026-11-21 ({before.COMMIT})"
    assert [figure.against for figure in result.figures] == [against] * 2


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.skipif(find_spec("lightning") is not None, reason="the other systems are there")
def test_what_needs_other_systems_is_left_out_with_a_word(name: str, tmp_path: Path) -> None:
    done = run(name, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{name}: left out, not installed: lightning, ")


def test_one_bit_makes_weights_differ(tmp_path: Path) -> None:
    task = one_layer(32)
    session = create_session(task.config(1), tmp_path / "session", trust=["benchmarks"])
    module = copy.deepcopy(session.models["model_0"])
    assert same(session, task.names, [module])
    with torch.no_grad():
        module.weight.view(torch.int32)[0, 0] ^= 1
    assert not same(session, task.names, [module])


def a_result(**more: object) -> Result:
    spread = Spread.of([1.0, 2.0, 4.0])
    figure = Figure(what="what", against="against", spread=spread, **more)  # type: ignore[arg-type]
    return Result("name", "About it.", "2026-01-31", {"cores": 2}, [figure])


def test_weights_that_differ_are_told() -> None:
    assert a_result(identical=False).differs == ["what"]
    assert a_result(identical=True).differs == []
    assert "| **no** |" in page([a_result(identical=False)])


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ({"at_most": 2.0}, "at most 2: met"),
        ({"at_most": 1.9}, "at most 1.9: **not met**"),
        ({"at_least": 2.1}, "at least 2.1: **not met**"),
        ({}, "|  |  |  |"),
    ],
)
def test_targets_are_shown_as_met_or_not(target: dict[str, float], shown: str) -> None:
    assert shown in page([a_result(**target)])


@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_a_spread_is_in_order_and_within_its_values(values: list[float]) -> None:
    spread = Spread.of(values)
    assert spread.count == len(values)
    ordered = [min(values), spread.low, spread.median, spread.high, max(values)]
    assert all(a <= b + 1e-6 for a, b in pairwise(ordered))


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    result = a_result(identical=True, ours=1.5, sides="s", at_most=0.25)
    result.write(tmp_path)
    assert read_all(tmp_path) == [result]


def spread_around(middle: float) -> Spread:
    return Spread.of([middle - 0.1, middle, middle + 0.1])


@pytest.mark.parametrize(
    ("target", "then", "now", "is_worse"),
    [
        ("at_most", 1.0, 1.05, False),
        ("at_most", 1.0, 1.5, True),
        ("at_most", 1.5, 1.0, False),
        ("at_least", 1.5, 1.0, True),
        ("at_least", 1.0, 1.5, False),
    ],
)
def test_what_got_worse_by_more_than_the_noise_is_marked(
    tmp_path: Path, target: str, then: float, now: float, is_worse: bool
) -> None:
    aim: dict[str, Any] = {target: 1.0}
    one, other = (
        replace(a_result(**aim), figures=[replace(figure, spread=spread_around(middle))])
        for figure in a_result(**aim).figures
        for middle in (then, now)
    )
    one.write(tmp_path)
    result = other.after(read_one("name", tmp_path))
    assert result.worse == (["what"] if is_worse else [])
    assert ("**worse now**" in page([result])) is is_worse
    assert f" {then:.3f} ×" in page([result])
    result.write(tmp_path)
    assert read_one("name", tmp_path) == result


def test_figures_of_another_machine_are_not_compared(tmp_path: Path) -> None:
    other = replace(a_result(at_most=1.0), circumstances={"cores": 64})
    assert a_result(at_most=1.0).after(other).worse == []
    assert a_result(at_most=1.0).after(None) == a_result(at_most=1.0)


def test_the_page_begins_with_what_is_to_be_met() -> None:
    results = [a_result(at_most=2.0), a_result(at_most=1.0), a_result()]
    assert "1 of 2 targets are met" in page(results)


def test_the_page_shows_what_is_kept() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(read_all()), "run: python -m benchmarks.report"
