"""Recipes and examples that are killed at random, or cut at every step, end in the same bits."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from exact_runs import Runs
from faults import (
    ROOT,
    Reference,
    Tally,
    assert_valid,
    counted,
    end_of,
    rng_for,
    tallied,
    write_json,
)
from process_harness import ProcessHarness, finish
from recipes import EXAMPLES, RECIPE_MODULES, furnish, recipes_in
from test_kills import killed

KILLS = 4
"""Of each run."""
OFTEN_SAVED = ["session_dir=run", "checkpoints.every_iterations=2", "checkpoints.keep_last=3"]


def settings(*overrides: str) -> list[str]:
    return [part for override in (*OFTEN_SAVED, *overrides) for part in ("--set", override)]


def kill_it(harness: ProcessHarness, start: Path, name: str, count: int, *config: str) -> Reference:
    """Runs of a config that are killed some times each, and then finished.

    Args:
        harness: Where they run.
        start: A folder with what it reads.
        name: What its random moments follow from.
        count: How many runs.
        config: Its path, and what is set in it.
    """
    victim = harness.run(start, "init", *config)
    assert victim.status == 0, victim.stderr
    whole = Path(shutil.copytree(start, start.with_name("whole")))
    started = time.monotonic()
    victim = harness.run(whole, "train", "run")
    seconds = time.monotonic() - started
    assert victim.status == 0, victim.stderr
    reference = Reference(start, end_of(whole / "run"), seconds)
    for number in range(count):
        random = rng_for("recipe", name, number)
        session = shutil.copytree(start, start.with_name(str(number))) / "run"
        for _ in range(KILLS):
            killed(harness, session, random.uniform(0, seconds))
            assert_valid(session)
        finish(harness, session, reference)
    return reference


def verify(harness: ProcessHarness, start: Path, steps: int, *config: str) -> None:
    """``verify-resume`` agrees, over the whole run."""
    victim = harness.hold(start, "verify-resume", *config, "--iterations", str(max(2, steps)))
    victim.release()
    assert victim.wait(120) == 0, victim.stdout + victim.stderr
    assert "are identical" in victim.stdout


def kill_a_module(
    harness: ProcessHarness, folder: Path, module: str, tally: Tally, runs: int, verified: bool
) -> None:
    """Every recipe of a module is killed."""
    for name, config in recipes_in(module):
        with tally.run(f"{module}.{name}"):
            start = folder / name / "start"
            start.mkdir(parents=True)
            write_json(start / "config.json", config)
            arguments = ("config.json", *settings())
            reference = kill_it(harness, start, name, runs, *arguments)
            if verified:
                verify(harness, start, reference.end["step"], *arguments)
    assert tally.runs, f"{module} has no recipe: a function without arguments that gives a Config"


@pytest.mark.parametrize("module", ["test_recipe_vae", "test_recipe_wgan"])
def test_a_few_kills_of_recipes(harness: ProcessHarness, tmp_path: Path, module: str) -> None:
    tally = Tally("a few kills of recipes")
    kill_a_module(harness, tmp_path, module, tally, 1, verified=False)
    tally.close()


@pytest.mark.faults
@pytest.mark.parametrize("module", RECIPE_MODULES)
def test_kills_of_recipes(harness: ProcessHarness, tmp_path: Path, module: str) -> None:
    with tallied(f"kill -9 of {module}, and verify-resume") as tally:
        kill_a_module(harness, tmp_path, module, tally, counted(3), verified=True)


@pytest.mark.faults
@pytest.mark.parametrize("example", EXAMPLES)
def test_kills_of_examples(harness: ProcessHarness, tmp_path: Path, example: str) -> None:
    folder, _, name = example.partition("/")
    config = ROOT / "examples" / folder / f"{name or 'training'}.json"
    arguments = (str(config), *settings(*EXAMPLES[example]))
    start = tmp_path / "start"
    start.mkdir()
    furnish(start, example)
    with tallied(f"kill -9 of {example}, and verify-resume") as tally, tally.run(example):
        reference = kill_it(harness, start, example, counted(3), *arguments)
        verify(harness, start, reference.end["step"], *arguments)


@pytest.mark.faults
@pytest.mark.parametrize("module", RECIPE_MODULES)
def test_cuts_of_recipes_at_every_step(
    tmp_path: Path, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    with tallied(f"a cut of {module} at every step") as tally:
        for name, config in recipes_in(module):
            with tally.run(f"{module}.{name}"):
                folder = tmp_path / name
                folder.mkdir()
                runs = Runs(config, folder)
                runs.check_cuts()
                runs.check_all_cuts_in_one()


def test_every_example_is_killed() -> None:
    found = {path.parent.name for path in (ROOT / "examples").glob("*/training.json")}
    assert found == {name.partition("/")[0] for name in EXAMPLES}
