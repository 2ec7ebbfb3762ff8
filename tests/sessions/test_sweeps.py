"""Sweeps: many sessions of one config, which no kill loses, counts twice, or changes by a bit."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_config import Command, environment, files_of, toy_config, write

from torchassistant.config import ParameterSpec, grid_values, read_sweep
from torchassistant.errors import ConfigError
from torchassistant.session import create_session, load_session
from torchassistant.sweeps import sweep
from torchassistant.sweeps.folder import SweepFolder
from torchassistant.sweeps.study import Study

TRUSTED = {"trust": ["toys", "sweep_parts"]}
LR = {"adam.kwargs.lr": {"float": [1e-4, 0.1], "log": True}}


def sweep_of(parameters: Any = LR, **more: Any) -> dict[str, Any]:
    usual = {"config": "training.json", "monitor": "val loss", "mode": "min", "folder": "found"}
    return {**usual, "parameters": parameters, "seed": 1, **more}


def run(
    command: Command, folder: Path, *options: str, config: Any = None, **keys: Any
) -> dict[str, Any]:
    """Sweep over a config, and give what was found."""
    write(folder / "training.json", config or toy_config())
    write(folder / "sweep.json", sweep_of(**keys))
    done = command(
        *("-m", "torchassistant", "sweep", "sweep.json", "--json", "--trust", "sweep_parts"),
        *options,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def expect_equal(trial: Path, other: Path) -> None:
    """Two sessions have the same weights, bit for bit, and the same history but for times."""
    one, two = (load_session(path, **TRUSTED) for path in (trial, other))
    for name, value in one.models["net"].state_dict().items():
        assert torch.equal(value, two.models["net"].state_dict()[name])
    histories = [session.history.drop(columns="seconds") for session in (one, two)]
    assert histories[0].equals(histories[1])
    assert one.finished == two.finished


def test_each_trial_is_the_session_that_its_parameters_make(
    command: Command, tmp_path: Path
) -> None:
    config = toy_config(net={"class": "toys.Net", "kwargs": {"dropout": 0.3}})
    parameters = {**LR, "net.kwargs.hidden": {"categorical": [2, 4]}}
    found = run(command, tmp_path, "--trials", "1", config=config, parameters=parameters)
    assert [trial["condition"] for trial in found["trials"]] == ["complete"]
    for trial in found["trials"]:
        path = Path(trial["session"])
        settings = [f"{name}={json.dumps(value)}" for name, value in trial["parameters"].items()]
        other = tmp_path / f"other-{trial['number']}"
        create_session(config, other, settings=settings, **TRUSTED).train()
        expect_equal(path, other)
        rows = load_session(path, **TRUSTED).history["val loss"]
        assert trial["value"] == rows.min() and trial["reported"] == len(rows) == 3
    # It goes on where it was: nothing is done again, and values are drawn as if in one call.
    before = files_of(tmp_path / "found" / "trials")
    more = run(command, tmp_path, "--trials", "2", config=config, parameters=parameters)
    assert more["trials"][:1] == found["trials"]
    assert more["best"] == min(more["trials"], key=lambda trial: trial["value"])["number"]
    assert before.items() <= files_of(tmp_path / "found" / "trials").items()
    shutil.rmtree(tmp_path / "found")
    whole = run(command, tmp_path, "--trials", "2", config=config, parameters=parameters)
    values = [[trial["parameters"] for trial in one["trials"]] for one in (more, whole)]
    assert values[0] == values[1]


@pytest.mark.parametrize("sampler", ["tpe", "gp", "qmc", "random"])
def test_values_do_not_depend_on_when_a_sweep_was_cut(tmp_path: Path, sampler: str) -> None:
    write(tmp_path / "training.json", toy_config())
    write(
        tmp_path / "sweep.json",
        sweep_of({**LR, "net.kwargs.hidden": {"int": [1, 9]}}, sampler=sampler),
    )
    spec = read_sweep(tmp_path / "sweep.json").spec
    found = []
    for name, is_cut in (("whole", False), ("cut", True)):
        folder = SweepFolder(tmp_path / name)
        folder.make()
        study = Study(folder, spec, 1, name, None, is_new=True)
        found.append([])
        for _ in range(14):  # more than the first ones, which are drawn
            if is_cut:
                study = Study(folder, spec, 1, name, None)
            number, values = study.asked()
            study.end(
                number,
                "COMPLETE",
                (values["net.kwargs.hidden"] - 4) ** 2 + values["adam.kwargs.lr"],
            )
            found[-1].append(values)
    assert found[0] == found[1]
    assert len({json.dumps(values) for values in found[0]}) == 14


def test_a_sampler_that_computes_with_torch_leaves_no_trace(
    command: Command, tmp_path: Path
) -> None:
    # Ten are drawn before the first one is computed.
    last = run(command, tmp_path, "--trials", "11", sampler="gp")["trials"][-1]
    settings = [f"adam.kwargs.lr={last['parameters']['adam.kwargs.lr']}"]
    create_session(toy_config(), tmp_path / "other", settings=settings, **TRUSTED).train()
    expect_equal(Path(last["session"]), tmp_path / "other")


def test_a_trial_that_is_killed_goes_on_to_the_same_bits(command: Command, tmp_path: Path) -> None:
    """At one state four times, by somebody: nothing says that it would die there by itself."""
    config = toy_config(points={"class": "sweep_parts.Dying", "kwargs": {"at": 10, "times": 4}})
    grid = {"adam.kwargs.lr": {"categorical": [0.1, 0.01]}}
    found = run(command, tmp_path, config=config, parameters=grid, sampler="grid")
    assert (tmp_path / "deaths").read_text() == "xxxx"
    assert [trial["condition"] for trial in found["trials"]] == ["complete"] * 2
    assert [trial["reported"] for trial in found["trials"]] == [3, 3]
    for trial, lr in zip(found["trials"], (0.1, 0.01), strict=True):
        other = tmp_path / f"{lr}"
        create_session(toy_config(), other, settings=[f"adam.kwargs.lr={lr}"], **TRUSTED).train()
        expect_equal(Path(trial["session"]), other)


def test_what_fails_is_written_down_and_the_rest_goes_on(command: Command, tmp_path: Path) -> None:
    config = toy_config(net={"class": "sweep_parts.Growing"})
    parameters = {
        "net.class": {"categorical": ["sweep_parts.Growing"]},
        "net.kwargs.factor": {"categorical": [1.0, 1e25, 1e35, 1e45, 1e55, "1"]},
    }
    # What only building or training shows cannot be told beforehand.
    found = run(command, tmp_path, config=config, parameters=parameters, sampler="grid")
    conditions = [trial["condition"] for trial in found["trials"]]
    assert conditions == ["complete", *["failed"] * 5]
    kinds = [trial["failure"] and trial["failure"]["kind"] for trial in found["trials"]]
    assert kinds[1:] == ["not finite", *["out of memory"] * 2, "raised", "raised"]
    assert found["best"] == 0


def test_a_process_that_dies_each_time_fails(command: Command, tmp_path: Path) -> None:
    crashing = {"times": 100, "signum": signal.SIGABRT}
    config = toy_config(points={"class": "sweep_parts.Dying", "kwargs": crashing})
    parameters = {"points.kwargs.at": {"categorical": [50, 100000]}}
    found = run(command, tmp_path, config=config, parameters=parameters, sampler="grid")
    assert [trial["condition"] for trial in found["trials"]] == ["failed", "complete"]
    assert found["trials"][0]["failure"]["kind"] == "killed"
    assert "SIGABRT, 3 times at the same state" in found["trials"][0]["failure"]["message"]
    assert (tmp_path / "deaths").read_text() == "xxx"


def test_a_pruned_trial_is_a_session_that_can_be_trained_on(
    command: Command, tmp_path: Path
) -> None:
    parameters = {"adam.kwargs.lr": {"categorical": [0.1, 1e-5, 1e-6]}}
    given = {"parameters": parameters, "sampler": "grid", "pruner": "halving"}
    found = run(command, tmp_path, **given)
    pruned = found["trials"][2]
    assert [one["condition"] for one in found["trials"]] == ["complete", "complete", "pruned"]
    assert 1 <= pruned["reported"] < 3
    done = command("train.py", "found/trials/0002")
    assert done.returncode == 0, done.stderr
    create_session(toy_config(), tmp_path / "other", settings=["adam.kwargs.lr=1e-6"], **TRUSTED)
    load_session(tmp_path / "other", **TRUSTED).train()
    expect_equal(tmp_path / "found" / "trials" / "0002", tmp_path / "other")
    # What a process has left of a line that died while it wrote is none.
    with (tmp_path / "found" / "journal.log").open("a") as journal:
        journal.write('{"op_code":4,"wor')
    again = run(command, tmp_path, **given)
    assert again == found


def test_over_folds_there_are_means_and_deviations(command: Command, tmp_path: Path) -> None:
    parameters = {
        "adam.kwargs.lr": {"categorical": [1e-5, 0.1]},
        "parts.fold": {"int": [0, 1]},
    }
    config = toy_config(parts={"dataset_name": "points", "folds": 2, "fold": 0})
    found = run(
        command, tmp_path, "--jobs", "2", config=config, parameters=parameters, sampler="grid"
    )
    assert len(found["trials"]) == 4
    best, other = found["folds"]
    assert best["parameters"] == {"adam.kwargs.lr": 0.1} and best["mean"] < other["mean"]
    values = torch.tensor([found["trials"][n]["value"] for n in best["trials"]], dtype=float)
    assert best["mean"] == pytest.approx(values.mean().item())
    assert best["deviation"] == pytest.approx(values.std().item())
    assert found["best"] in best["trials"]
    # The report needs nothing beside itself.
    page = Path(found["report"]).read_text()
    assert all(heading in page for heading in ("Importances", "Parallel coordinates", "Means over"))
    assert not re.search(r"<(script|link|img)[^>]* (src|href)=", page)
    assert page.count("Plotly.newPlot(") >= 4 and "parts.fold" in page


@pytest.mark.parametrize(
    ("changes", "messages"),
    [
        ({"monitor": "val los"}, ['monitor: .*did you mean "val loss"']),
        ({"monitr": "val loss"}, ['monitr: unknown key "monitr"; did you mean "monitor"']),
        ({"sampler": "tpee"}, ["sampler: .*'tpe'"]),
        ({"config": "other.json"}, ["config: there is no file"]),
        ({"parameters": {}}, ["parameters: "]),
        ({"parameters": {"adm.kwargs.lr": {"int": [1, 2]}}}, ['named "adm"; did you mean "adam"']),
        ({"parameters": {"adam.kwargs.lr": {"itn": [1, 2]}}}, ['"itn"; did you mean "int"']),
        ({"parameters": {"seed": {}}}, ['"categorical" is expected; found none']),
        ({"parameters": {"seed": {"int": [2, 1]}}}, ["must not be above the second"]),
        ({"parameters": {"seed": {"int": [1, 2], "step": 0.5}}}, ["a whole number above 0"]),
        ({"parameters": {"seed": {"int": [1, 4], "step": 2}}}, ["do not reach 4.* at 3"]),
        ({"parameters": {"seed": {"float": [0.1, 0.35], "step": 0.1}}}, ["last is at 0.3"]),
        ({"parameters": {"seed": {"int": [0, 2], "log": True}}}, ["numbers are above 0"]),
        (
            {"parameters": {"seed": {"int": [1, 2], "log": True, "step": 1}}},
            ["exclude each other"],
        ),
        ({"parameters": {"seed": {"categorical": [1, 1]}}}, ["1 stands twice"]),
        ({"parameters": {"seed": {"categorical": [1], "log": True}}}, ['"log" has no effect']),
        ({"parameters": LR, "sampler": "grid"}, ["a grid needs single values"]),
        (
            {"parameters": {**LR, "optimizers.adam.kwargs.lr": {"int": [1, 2]}}},
            ['has no effect, as "optimizers.adam.kwargs.lr"'],
        ),
        ({"parameters": {"session_dir": {"categorical": ["a"]}}}, ["a folder of its own"]),
        (
            {"parameters": {"train.stages[0].nmae": {"categorical": ["a"]}}, "monitor": "x"},
            ['did you mean "name"', 'monitor: no row of any stage has "x"'],
        ),
    ],
)
def test_every_mistake_is_told_with_its_place(
    tmp_path: Path, changes: dict[str, Any], messages: list[str]
) -> None:
    write(tmp_path / "training.json", toy_config())
    write(tmp_path / "sweep.json", {**sweep_of(), **changes})
    with pytest.raises(ConfigError) as raised:
        read_sweep(tmp_path / "sweep.json")
    assert len(raised.value.problems) >= len(messages)
    for message in messages:
        assert raised.match(rf"sweep\.json:\d+:\d+: .*{message}"), raised.value


def test_a_grid_has_the_numbers_that_are_written() -> None:
    parameter = ParameterSpec.model_validate({"float": [0.1, 0.7], "step": 0.2})
    assert grid_values(parameter) == [0.1, 0.3, 0.5, 0.7]
    assert grid_values(ParameterSpec.model_validate({"int": [2, 6], "step": 2})) == [2, 4, 6]
    assert grid_values(ParameterSpec.model_validate({"float": [0.5, 0.5]})) == [0.5]


def test_what_is_missing_is_told_with_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "training.json", toy_config())
    write(tmp_path / "sweep.json", sweep_of())
    monkeypatch.setattr("torchassistant.sweeps.study.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'pip install "torchassistant\[sweep\]"'):
        sweep(read_sweep(tmp_path / "sweep.json"), trials=1)


def test_what_names_nothing_is_told_before_a_sweep_begins(
    interpreter: Command, tmp_path: Path
) -> None:
    write(tmp_path / "training.json", toy_config())
    write(tmp_path / "sweep.json", sweep_of({"adam.kwargs.lrr": {"int": [1, 2]}}))
    given = ("-m", "torchassistant", "sweep", "sweep.json", "--trials", "0")
    done = interpreter(*given)
    assert done.returncode == 2 and done.stderr.count('Adam has no argument "lrr"') == 1
    assert "sweep.json:7:" in done.stderr and not (tmp_path / "found").exists()


def test_what_does_not_fit_a_folder_is_refused(command: Command, tmp_path: Path) -> None:
    assert run(command, tmp_path, "--trials", "0")["trials"] == []
    given = ("-m", "torchassistant", "sweep", "sweep.json", "--trials")
    done = command(*given[:-1])
    assert done.returncode == 2 and "--trials N" in done.stderr
    write(tmp_path / "training.json", toy_config(net={"class": "toys.Net", "args": [3]}))
    done = command(*given, "0")
    assert done.returncode == 2 and "the file has changed" in done.stderr
    write(tmp_path / "sweep.json", sweep_of(take="last"))
    done = command(*given, "0")
    assert done.returncode == 2 and "begun with another \"take\": 'best'" in done.stderr
    write(tmp_path / "sweep.json", sweep_of(folder="."))
    done = command(*given, "0")
    assert done.returncode == 2 and "and is no sweep" in done.stderr


@pytest.mark.faults
@pytest.mark.parametrize("seed", [0, 1])
def test_sweeps_that_share_a_folder_and_are_killed_lose_nothing(tmp_path: Path, seed: int) -> None:
    """Kills the sweeps, their trials, or both, or stops them, at random moments."""
    config = toy_config(
        points={"class": "toys.Points", "kwargs": {"slowness": 0.002}},
        net={"class": "toys.Net", "kwargs": {"dropout": 0.3}},
    )
    config["train"]["stages"][0]["stop_condition"]["kwargs"]["num_epochs"] = 12
    config["checkpoints"] = {"every_iterations": 3}
    write(tmp_path / "training.json", config)
    write(tmp_path / "sweep.json", sweep_of({**LR, "net.kwargs.hidden": {"int": [2, 5]}}))
    called = [sys.executable, "-m", "torchassistant", "sweep", "sweep.json", "--json"]
    called += ["--trials", "8", "--jobs", "2"]
    draws = random.Random(seed)
    env = {**environment(), "OMP_NUM_THREADS": "1"}
    kills = 0
    for _ in range(14):
        sweeps = [
            subprocess.Popen(
                called, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            for _ in range(draws.choice((1, 2)))
        ]
        deadline = time.monotonic() + 60
        while not any(map(_children, sweeps)) and time.monotonic() < deadline:
            if all(one.poll() is not None for one in sweeps):
                break
            time.sleep(0.05)
        time.sleep(draws.uniform(0, 2))
        trained = [child for one in sweeps for child in _children(one)]
        whom = draws.choice(("trials", "sweeps", "both", "stop"))
        for child in trained if whom in ("trials", "both") else ():
            kills += 1
            os.kill(child, signal.SIGKILL)
        if whom == "trials":
            time.sleep(draws.uniform(0, 2))
        for one in sweeps:
            one.send_signal(signal.SIGINT if whom == "stop" else signal.SIGKILL)
            one.wait()
    done = subprocess.run(called, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    trials = json.loads(done.stdout)["trials"]
    assert [trial["number"] for trial in trials] == list(range(8)) and kills
    assert len({json.dumps(trial["parameters"]) for trial in trials}) == 8
    for trial in trials:
        assert (trial["condition"], trial["reported"]) == ("complete", 12)
        settings = [f"{name}={json.dumps(value)}" for name, value in trial["parameters"].items()]
        other = tmp_path / f"other-{trial['number']}"
        create_session(config, other, settings=settings, **TRUSTED).train()
        expect_equal(Path(trial["session"]), other)


def _children(process: subprocess.Popen[bytes]) -> list[int]:
    try:
        text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    except OSError:
        return []
    return [int(number) for number in text.split()]
