"""kill -9 of one of several processes, of all, or of their launcher: the same bits after that."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from exact_configs import Config
from faults import (
    ROOT,
    Reference,
    assert_valid,
    checkpoints_of,
    counted,
    differences,
    end_of,
    environment,
    leftovers,
    rng_for,
    tallied,
)
from ranks import PATIENCE, called, ranks, trained
from shared_parts import TRAININGS

from torchassistant import create_session

EPOCHS = 4


def shared(name: str, logical_ranks: int | None) -> Config:
    """A training by several processes, saved again and again."""
    distributed = {"timeout": 20.0, "logical_ranks": logical_ranks}
    return {
        **TRAININGS[name](EPOCHS),
        "distributed": distributed,
        "checkpoints": {"every_iterations": 2},
    }


def reference(config: Config, folder: Path, world: int) -> Reference:
    """The same by so many processes, without a kill."""
    create_session(config, session_dir=folder / "start")
    shutil.copytree(folder / "start", folder / "run")
    started = time.monotonic()
    trained(world, folder / "run")
    return Reference(folder, end_of(folder / "run"), time.monotonic() - started)


def assert_same_end(session: Path, expected: Reference) -> None:
    """It ended like one without a kill, whatever the number of processes was."""
    ends = [end_of(session), expected.end]
    ends = [{**end, "state.json": {**end["state.json"], "environment": None}} for end in ends]
    found = differences(*ends)
    assert not found, f"it ended differently: {found}"
    assert_valid(session)
    assert not leftovers(session), f"left over: {leftovers(session)}"


def killed(session: Path, world: int, moment: float, draws: random.Random) -> None:
    """Train with so many processes, and kill one, or all of them, after so many seconds."""
    whom = draws.choice(("one", "one", "all"))
    with ranks(world, called(["train", str(session)])) as running:
        running.have_begun()
        time.sleep(moment)
        victims = range(world) if whom == "all" else [draws.randrange(world)]
        running.kill(*victims)
        statuses = running.wait(2 * PATIENCE)  # before the config is read, the timeout is 60 s
        printed = [running.printed(rank) for rank in range(world)]
    lines = [line for text in printed for line in text.splitlines() if "error" in line]
    left = [status for rank, status in enumerate(statuses) if rank not in victims]
    assert all(status in (0, 1) for status in left), (statuses, printed)
    if 1 in left:
        assert len(lines) == 1 and "has died, or cannot be reached" in lines[0], printed
    assert_valid(session)


@pytest.mark.faults
@pytest.mark.parametrize("logical_ranks", [None, 4], ids=["one world", "any world"])
@pytest.mark.parametrize("name", TRAININGS)
def test_kills_of_processes(tmp_path: Path, name: str, logical_ranks: int | None) -> None:
    """Resumed with as many processes; with logical ranks with any number that divides them."""
    worlds = [2] if logical_ranks is None else [1, 2, 4]
    scenario = f"kill -9 of processes that train together, {name}, logical ranks: {logical_ranks}"
    with tallied(scenario) as tally:
        expected = reference(shared(name, logical_ranks), tmp_path, 2)
        for number in range(counted(15)):
            draws = rng_for("processes", name, logical_ranks, number)
            with tally.run(f"run {number}"):
                session = expected.copy(tmp_path / str(number))
                for _ in range(draws.choice([1, 1, 2, 3])):
                    moment = draws.uniform(0, expected.seconds)
                    killed(session, draws.choice(worlds), moment, draws)
                trained(draws.choice(worlds), session)
                assert_same_end(session, expected)


def children_of(pid: int) -> list[int]:
    """The processes that one has started; the launcher gives each a session of its own."""
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def living(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def without_launcher(session: Path, moment: float) -> None:
    """Train by the launcher of torch, and kill that so many seconds after a checkpoint."""
    before = len(checkpoints_of(session)), checkpoints_of(session)[-1].name
    command = [sys.executable, str(ROOT / "train.py"), str(session), "--processes", "2"]
    with (session.parent / "printed").open("w+") as printed:
        launcher = subprocess.Popen(
            command,
            env={**os.environ, **environment()},
            stdout=printed,
            stderr=printed,
            start_new_session=True,
        )
        patience = time.monotonic() + PATIENCE
        while launcher.poll() is None and time.monotonic() < patience:
            if (len(checkpoints_of(session)), checkpoints_of(session)[-1].name) != before:
                break
            time.sleep(0.02)
        time.sleep(moment)
        started = children_of(launcher.pid)
        launcher.kill()
        launcher.wait()
        patience = time.monotonic() + PATIENCE
        while (left := living(started)) and time.monotonic() < patience:
            time.sleep(0.1)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        printed.seek(0)
        assert not left, f"{left} live on: {printed.read()}"
    assert_valid(session)


@pytest.mark.faults
@pytest.mark.parametrize("name", TRAININGS)
def test_kills_of_the_launcher(tmp_path: Path, name: str) -> None:
    """The processes end by themselves."""
    with tallied(f"kill -9 of the launcher of two processes, {name}") as tally:
        expected = reference(shared(name, None), tmp_path, 2)
        for number in range(counted(5)):
            draws = rng_for("launcher", name, number)
            with tally.run(f"run {number}"):
                session = expected.copy(tmp_path / str(number))
                without_launcher(session, draws.uniform(0, expected.seconds))
                trained(2, session)
                assert_same_end(session, expected)
