"""A session that two machines train, one of which is lost."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import tempfile
import time
from pathlib import Path

import pytest
from exact_configs import made
from test_processes import ENVIRONMENT, ROOT, noisy, wait_for
from two_machines import Machines, two_machines

from torchassistant import create_session, load_session

TIMEOUT = 4.0
"""Seconds without a sign of life after which a process counts as lost."""

SOON = 30.0
"""Seconds, on a machine that has much else to do, within which all that train are to end."""


def rank_on(machine: int, machines: Machines) -> int | None:
    """The process that trains there; None where it has ended."""
    for pid in machines.processes_on(machine):
        with contextlib.suppress(OSError):
            if f"RANK={machine}" in Path(f"/proc/{pid}/environ").read_text().split("\0"):
                return pid
    return None


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["a process", "the cable"])
def test_all_end_where_the_other_machine_is_lost(
    tmp_path: Path, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one message that names who it was; one process alone goes on."""
    monkeypatch.setenv("PYTHONPATH", ENVIRONMENT["PYTHONPATH"])
    config = {**noisy(logical_ranks=2, timeout=TIMEOUT), "checkpoints": {"every_iterations": 1}}
    config["train"]["stages"][0]["stop_condition"] = made("EpochsCompleted", 100_000)
    create_session(config, session_dir=tmp_path / "run")
    run = tmp_path / "run"
    trusted = [option for name in ("exact_parts", "test_processes") for option in ("--trust", name)]
    command = (str(ROOT / "train.py"), str(run), *trusted)
    with contextlib.ExitStack() as stack:
        machines = stack.enter_context(two_machines())
        if machines is None:
            pytest.skip("network namespaces need root, and iproute2")
        outputs = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(2)]
        launchers = [machines.torchrun(n, outputs[n], *command) for n in range(2)]
        wait_for(lambda: len((run / "metrics" / "0.csv").read_text().splitlines()) > 3)
        if lost == "a process":
            os.kill(rank_on(1, machines) or 0, signal.SIGKILL)
        else:
            machines.cut_cable()
        began = time.monotonic()
        while any(rank_on(machine, machines) for machine in range(2)):
            assert time.monotonic() - began < SOON
            time.sleep(0.1)
        print(f"after {lost} is lost, all have ended after {time.monotonic() - began:.1f} s")
        assert launchers[0].wait(SOON) == 1
        outputs[0].seek(0)
        told = outputs[0].read().decode()
    (line,) = [line for line in told.splitlines() if line.startswith("error: ")]
    assert re.match(r"error: rank 1 \(process \d+ on .*\) has died, or cannot be reached", line)
    session = load_session(run, settings=["train.stages[0].stop_condition.args[0]=1"])
    assert session.progress.step > 0
    session.train()
    assert session.finished
