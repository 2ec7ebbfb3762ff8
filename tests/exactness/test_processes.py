"""Sessions that several processes train."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import (
    Config,
    feed,
    layer,
    layers,
    loader,
    loss,
    made,
    one_model,
    part,
    stage,
)
from exact_parts import Points
from ranks import PATIENCE, called, ranks, train, trained
from safetensors.torch import load_file
from torch.nn.functional import mse_loss
from torch.optim import SGD

from torchassistant import create_session, load_session
from torchassistant.cli import processes
from torchassistant.parallel import Launched, heartbeat, launched, world

ROOT = Path(__file__).resolve().parents[2]
PATHS = (ROOT, ROOT / "tests" / "exactness")
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, PATHS))}


def flat(*columns: torch.Tensor) -> list[torch.Tensor]:
    return [column.flatten() for column in columns]


def noisy(**distributed: Any) -> Config:
    """Dropout, batch norm, shuffling, an uneven last batch, validation."""
    net = layers(layer("Linear", 4, 6), layer("BatchNorm1d", 6), layer("Dropout", 0.4))
    net["args"].append(layer("Linear", 6, 1))
    of_rows = {"inputs": ["y_hat", "y"], "transform": f"{__name__}.flat"}
    groups = {
        "datasets": {"points": part("Points", 22)},
        "loader_factories": {"batches": loader("points", 12, shuffle=True)},
        "models": {"net": net},
        "optimizers": {"descent": {**made("Adam", lr=0.05), "model": "net"}},
        "metrics": {"spread": {**made("torchmetrics.PearsonCorrCoef"), **of_rows}},
    }
    measured = {"metrics": [{"metric_name": "spread"}]}
    val = {"input_factories": [feed("batches", "x y")], "losses": [loss("error")], **measured}
    in_order = stage("fit", validation=["val"], epochs=2, measure_training=True)
    config = one_model(groups, in_order, pipeline=measured, val=val)
    return {**config, "distributed": distributed} if distributed else config


@pytest.fixture(scope="module", autouse=True)
def _no_threads() -> None:
    torch.set_num_threads(1)


def copied(session: Path, name: str) -> Path:
    return Path(shutil.copytree(session, session.parent / name))


def weights(session: Path) -> dict[str, torch.Tensor]:
    folder = sorted((session / "checkpoints").iterdir())[-1]
    return {
        f"{path.parent.name}/{path.stem}/{name}": tensor
        for path in sorted(folder.rglob("*.safetensors"))
        if path.parent.name in ("models", "optimizers")
        for name, tensor in load_file(path).items()
    }


def rows(session: Path) -> list[list[str]]:
    lines = (session / "metrics" / "0.csv").read_text().splitlines()
    return [line.split(",")[:-1] for line in lines]


def assert_same(one: Path, other: Path) -> None:
    mine, theirs = weights(one), weights(other)
    assert mine.keys() == theirs.keys()
    assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == []
    assert rows(one) == rows(other)


@pytest.mark.parametrize("is_large", [False, True])
def test_logical_ranks_have_the_same_bits_at_each_number_of_processes(
    tmp_path: Path, is_large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_large:  # gradients of more than some MB are told piece by piece
        monkeypatch.setattr(world, "_SMALL", 0)
        monkeypatch.setattr(world, "_PIECE", 5)
    create_session(noisy(logical_ranks=4), session_dir=tmp_path / "new")
    alone = copied(tmp_path / "new", "1")
    load_session(alone).train()
    for count in (2, 4):
        assert_same(trained(count, copied(tmp_path / "new", str(count))), alone)


def test_the_same_number_of_processes_gives_the_same_bits(tmp_path: Path) -> None:
    create_session(noisy(), session_dir=tmp_path / "new")
    one, other = (trained(2, copied(tmp_path / "new", name)) for name in ("one", "other"))
    assert_same(one, other)


def test_processes_can_be_forked_after_an_export(tmp_path: Path) -> None:
    """Other tests may have exported something in this process before."""
    torch.export.export(torch.nn.Linear(2, 1), (torch.ones(3, 2),))
    torch.ones((), requires_grad=True).backward()
    create_session(averaged(8, 8, 1), session_dir=tmp_path / "run")
    trained(2, tmp_path / "run")


def averaged(points: int, batch: int, epochs: int) -> Config:
    """Two layers without anything random, in batches that two processes halve."""
    net = layers(layer("Linear", 4, 6), layer("Tanh"), layer("Linear", 6, 1))
    groups = {
        "datasets": {"points": part("Points", points)},
        "loader_factories": {"batches": loader("points", batch)},
        "models": {"net": net},
    }
    return one_model(groups, stage("fit", epochs=epochs))


def test_two_processes_are_the_usual_loop(tmp_path: Path) -> None:
    """Each takes half of a batch; gradients are averaged, as DistributedDataParallel does it."""
    session = create_session(averaged(24, 8, 2), session_dir=tmp_path / "run")
    net = copy.deepcopy(session.models["net"])
    optimizer = SGD(net.parameters(), lr=0.05)
    points = Points(24)
    for _ in range(2):
        for start in range(0, 24, 8):
            halves = []
            for rows_of_rank in (slice(start, start + 4), slice(start + 4, start + 8)):
                error = mse_loss(net(points.x[rows_of_rank]), points.y[rows_of_rank])
                halves.append(torch.autograd.grad(error, list(net.parameters())))
            for parameter, *two in zip(net.parameters(), *halves, strict=True):
                parameter.grad = (two[0] + two[1]) / 2
            optimizer.step()
    trained(2, tmp_path / "run")
    found = load_session(tmp_path / "run").models["net"]
    for mine, theirs in zip(found.parameters(), net.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_uneven_batches_and_empty_parts_count_by_their_examples(tmp_path: Path) -> None:
    """Nine examples in batches of 4, 4 and 1, cut into three: weights and losses of the whole."""
    create_session(averaged(9, 4, 2), session_dir=tmp_path / "run")
    alone = copied(tmp_path / "run", "alone")
    load_session(alone).train()
    trained(3, tmp_path / "run")
    for name, tensor in weights(alone).items():
        torch.testing.assert_close(weights(tmp_path / "run")[name], tensor, rtol=1e-5, atol=1e-7)
    for one, other in zip(rows(tmp_path / "run")[1:], rows(alone)[1:], strict=True):
        assert [float(cell) for cell in one] == pytest.approx([float(cell) for cell in other])


def test_a_process_that_is_killed_is_named_and_the_run_goes_on(tmp_path: Path) -> None:
    """With as many processes as before, or with fewer: the bits are those of no kill."""
    config = {**noisy(logical_ranks=2), "checkpoints": {"every_iterations": 1}}
    config["train"]["stages"][0]["stop_condition"] = made("EpochsCompleted", 12)
    create_session(config, session_dir=tmp_path / "new")
    whole = trained(2, copied(tmp_path / "new", "whole"))
    cut = copied(tmp_path / "new", "cut")
    run = called(["train", str(cut)])
    with ranks(2, run) as running:
        wait_for(lambda: len((cut / "metrics" / "0.csv").read_text().splitlines()) > 3)
        running.kill(1)
        assert running.wait() == [1, -signal.SIGKILL]
        told = [line for line in running.printed().splitlines() if line.startswith("error")]
    assert len(told) == 1
    assert re.match(r"error: rank 1 \(process \d+ on .*\) has died, or cannot be reached", told[0])
    alone = copied(cut, "alone")
    load_session(alone).train()
    assert_same(alone, whole)
    assert_same(trained(2, cut), whole)


@pytest.mark.parametrize(
    ("begins", "told"),
    [(True, r"rank 1 \(process \d+ on .*\) has died"), (False, "rank 1 did not begin within 1 s")],
)
def test_one_that_is_lost_before_all_have_found_each_other(
    monkeypatch: pytest.MonkeyPatch, begins: bool, told: str
) -> None:
    monkeypatch.setattr(heartbeat, "START", 30.0 if begins else 1.0)
    monkeypatch.setattr(processes, "_TIMEOUT", 1.0)

    def run() -> int:
        place = launched()
        assert place is not None
        if place.rank == 0:
            return processes.in_processes(place, lambda connected: 0)
        if begins:
            heartbeat.Heartbeat(place, 1.0)
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    with ranks(2, run) as running:
        assert running.wait() == [1, -signal.SIGKILL]
        assert re.match(f"error: {told}", running.printed())


def test_one_that_dies_while_another_connects_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: Any, **kwargs: Any) -> None:
        time.sleep(1)  # it has said that it is there
        raise RuntimeError("Connection refused")

    def run() -> int:
        place = launched()
        assert place is not None
        if place.rank == 1:
            monkeypatch.setattr("torch.distributed.init_process_group", refused)
            return processes.in_processes(place, lambda connected: 0)
        heartbeat.Heartbeat(place, 1.0)
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    with ranks(2, run) as running:
        assert running.wait() == [-signal.SIGKILL, 1]
        assert re.match(r"error: rank 0 \(process \d+ on .*\) has died", running.printed(1))


def test_a_launcher_that_is_gone_before_anything_begins(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(processes, "_TIMEOUT", 0.5)
    place = Launched(0, 2, "127.0.0.1", 9, is_store_there=True, local_size=2)
    assert processes.in_processes(place, lambda connected: 0) == 1
    told = capfd.readouterr().err.splitlines()[-1]
    assert told.startswith("error: the launcher of the processes does not answer: ")


def told_of_a_hole(config: Config, session: Path) -> str:
    """The one error that two processes print where an example of the points is not finite."""
    for definition in config["initialize"]["definitions"]:
        if definition["name"] == "points":
            definition["spec"] = part("Holed", 8)
    create_session(config, session_dir=session, preflight=False)
    statuses, printed = train(2, session)
    assert statuses == [2, 2]
    assert printed[1] == ""
    (line,) = [line for line in printed[0].splitlines() if line.startswith("error")]
    assert 'the loss "error" is nan, in iteration 1' in line
    assert 'the column "x" of the batch is not finite itself' in line
    return line


def test_what_ends_one_process_is_told_once(tmp_path: Path) -> None:
    """Here the second one alone has an example that its model cannot take."""
    line = told_of_a_hole(averaged(8, 8, 1), tmp_path / "run")
    assert "the examples 0, 1, 2, 3, 4, 5, 6, 7" in line


def test_a_signal_to_one_stops_all_after_the_same_iteration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = noisy()
    config["train"]["stages"][0]["stop_condition"] = made("EpochsCompleted", 100_000)
    create_session(config, session_dir=tmp_path / "run")
    with ranks(2, called(["train", str(tmp_path / "run")])) as running:
        wait_for(lambda: len((tmp_path / "run/metrics/0.csv").read_text().splitlines()) > 3)
        os.kill(running.pids[1], signal.SIGTERM)
        assert running.wait() == [128 + signal.SIGTERM] * 2
        assert "is saved in" in running.printed()
    session = load_session(tmp_path / "run", settings=["train.stages[0].stop_condition.args[0]=1"])
    assert session.progress.step > 0
    session.train()
    told = capsys.readouterr().err
    assert "it was trained by 2 processes, and is by 1 now" in told
    assert "but for what is random or sees a whole part: BatchNorm1d, Dropout" in told


def test_parts_that_cannot_be_shared_are_a_problem(tmp_path: Path) -> None:
    create_session(noisy(logical_ranks=3), session_dir=tmp_path / "run")
    statuses, printed = train(2, tmp_path / "run")
    assert statuses == [2, 2]
    assert '"logical_ranks" is 3, which 2 processes cannot share equally' in printed[0]


def wait_for(condition: Callable[[], bool]) -> None:
    """Until a file shows that it has happened."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with contextlib.suppress(FileNotFoundError):
            if condition():
                return
        time.sleep(0.02)
    raise TimeoutError


def test_the_command_starts_the_processes(tmp_path: Path) -> None:
    """By the launcher of torch; they are said to be 2 in the checkpoint."""
    create_session(averaged(24, 8, 2), session_dir=tmp_path / "run")
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), str(tmp_path / "run"), "--processes", "2"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "2 epochs) is finished" in done.stdout
    assert [line.split()[:4] for line in done.stderr.splitlines()][:2] == [
        ["stage", "1/1", "epoch", "1/2"],
        ["stage", "1/1", "epoch", "2/2"],
    ]
    session = load_session(tmp_path / "run")
    assert session.spec.distributed is not None
    newest = sorted((tmp_path / "run" / "checkpoints").iterdir())[-1]
    assert json.loads((newest / "state.json").read_text())["environment"]["processes"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_launcher_is_ended(tmp_path: Path, signum: int) -> None:
    """Asked to end it waits until the state is saved; killed, it takes the processes with it."""
    config = noisy()
    config["train"]["stages"][0]["stop_condition"] = made("EpochsCompleted", 1_000_000)
    create_session(config, session_dir=tmp_path / "run")
    launcher = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), str(tmp_path / "run"), "--processes", "2"],
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: len((tmp_path / "run/metrics/0.csv").read_text().splitlines()) > 3)
    launcher.send_signal(signum)
    _, told = launcher.communicate(timeout=120)  # until all have closed the stream
    last = told.strip().splitlines()[-1]
    if signum == signal.SIGKILL:
        assert last.startswith("error: the launcher of the processes does not answer")
    else:
        assert launcher.returncode == 128 + signum
        assert "is saved in" in last
    session = load_session(tmp_path / "run")
    assert session.progress.step > 0


def test_evaluation_by_turns_gives_the_results_of_one(tmp_path: Path) -> None:
    create_session(noisy(), session_dir=tmp_path / "run")
    results = []
    for count in (1, 2):
        with ranks(count, called(["evaluate", str(tmp_path / "run"), "--json"])) as running:
            assert running.wait() == [0] * count, running.printed()
            results.append(json.loads(running.printed()))
            assert [running.printed(rank) for rank in range(1, count)] == [""] * (count - 1)
    assert results[0] == results[1]
    assert results[0].keys() == {"error", "spread"}


def test_predictions_by_turns_are_those_of_one(tmp_path: Path) -> None:
    create_session(noisy(), session_dir=tmp_path / "run")
    written, listed = [], []
    over_data = ["infer", str(tmp_path / "run"), "--pipeline", "val"]
    for count in (1, 3):
        table = tmp_path / f"{count}.csv"
        for more in (["-o", str(table), "--column", "y"], ["--json"]):
            with ranks(count, called([*over_data, *more])) as running:
                assert running.wait() == [0] * count, running.printed()
                listed.append(running.printed())
                assert [running.printed(rank) for rank in range(1, count)] == [""] * (count - 1)
        written.append(table.read_text())
    assert written[0] == written[1]
    assert written[0].startswith("index,y,")
    assert len(written[0].splitlines()) == 1 + 22
    assert listed[1] == listed[3]


def test_inputs_are_not_for_several(tmp_path: Path) -> None:
    create_session(noisy(), session_dir=tmp_path / "run")
    with ranks(2, called(["infer", str(tmp_path / "run"), "some input"])) as running:
        assert running.wait() == [2, 2]
        assert "leave out --processes for inputs" in running.printed()


@pytest.mark.slow
def test_resuming_is_verified_with_several(tmp_path: Path) -> None:
    config = {**noisy(), "session_dir": "run"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "torchassistant",
            "verify-resume",
            "config.json",
            "--processes",
            "2",
            "--iterations",
            "4",
            "--trust",
            "exact_parts",
            "--trust",
            __name__,
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=ENVIRONMENT,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "4 iterations, and the same interrupted after 2" in done.stdout


def test_trials_by_two_are_those_of_one(tmp_path: Path) -> None:
    """Nothing is kept of the same batches again and again, and of a few batches an epoch."""
    create_session(averaged(24, 8, 2), session_dir=tmp_path / "run")
    before = sorted(path.name for path in (tmp_path / "run").rglob("*"))
    for option in (["--overfit", "2", "--passes", "3"], ["--limit-batches", "2"]):
        found = []
        for count in (1, 2):
            arguments = ["train", str(tmp_path / "run"), *option, "--json"]
            with ranks(count, called(arguments)) as running:
                assert running.wait() == [0] * count, running.printed()
                printed = running.printed()
                told = json.loads(printed[printed.index("{") :])
                found.append([row["error"] for row in told["rows"]])
        assert found[1] == pytest.approx(found[0], rel=1e-5)
    assert sorted(path.name for path in (tmp_path / "run").rglob("*")) == before
