"""The four scripts as a person runs them: status, standard output, standard error, signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from toy_config import ROOT, Command, environment, files_of, toy_config, write

from torchassistant.cli.arguments import SUMMARIES

SLOW = {"class": "toys.Points", "kwargs": {"slowness": 0.01}}


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A config file in the test's folder."""
    return write(tmp_path / "config.json", toy_config())


def test_init_train_evaluate_infer(
    tmp_path: Path, command: Command, interpreter: Command, config: str
) -> None:
    made = interpreter("init.py", config)
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.endswith("\nsession run created\n")
    before = files_of(tmp_path)
    refused = command("init.py", config)
    assert refused.returncode == 2
    assert "the session run exists already" in refused.stderr
    assert refused.stdout == ""
    assert files_of(tmp_path) == before

    trained = interpreter("train.py", "run")
    assert trained.returncode == 0, trained.stderr
    lines = trained.stderr.splitlines()
    epochs = [f"stage 1/1 epoch {n}/3" for n in (1, 2, 3)]
    assert [line.split("  ")[0] for line in lines[:-1]] == epochs
    assert "val loss" in lines[0]
    assert lines[-1].startswith("stage 1/1: 3 epochs in ")
    assert trained.stdout.splitlines() == [
        "session run (1 stage, 3 epochs) is finished",
        "next:",
        "  torchassistant evaluate run",
        *(["  torchassistant report run"] if "report" in SUMMARIES else []),
        "  torchassistant infer run --pipeline check -o predictions.csv",
    ]
    before = files_of(tmp_path)
    again = command("train.py", "run")
    assert (again.returncode, again.stderr) == (0, "")
    assert "nothing is left to do" in again.stdout
    assert files_of(tmp_path) == before

    table = command("evaluate.py", "run")
    assert table.returncode == 0
    assert table.stdout.startswith("val loss  ")
    fitted = command("evaluate.py", "run", "--pipeline", "fit", "--json")
    assert list(json.loads(fitted.stdout)) == ["loss"]
    slip = command("evaluate.py", "run", "--pipeline", "fti")
    assert (slip.returncode, slip.stdout) == (2, "")
    assert 'no pipeline is named "fti"; did you mean "fit"?' in slip.stderr
    write(
        tmp_path / "evaluation.json",
        {"session_dir": "run", "validation_pipelines": ["fit", "check"], "eval_steps": 0.5},
    )
    found = interpreter("evaluate.py", "evaluation.json", "--json")
    assert set(json.loads(found.stdout)) == {"loss", "val loss"}

    write(
        tmp_path / "inference.json",
        {
            "session_dir": "run",
            "inference_pipeline": "check",
            "inputs_meta": [{"input_converter": {"class": "toys.NumberToRow"}}],
            "results": ["y_hat"],
            "post_processor": {"class": "toys.Rounded"},
            "output_device": {"class": "JsonLines", "args": ["out.jsonl"]},
        },
    )
    asked = interpreter("infer.py", "inference.json", "1,2", "3,4")
    assert asked.returncode == 0, asked.stderr
    answers = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert len(answers) == 2
    assert answers[0] != answers[1]


def test_inference_builds_no_dataset(tmp_path: Path, command: Command) -> None:
    config = write(tmp_path / "config.json", toy_config(points={"class": "toys.Forbidden"}))
    assert command("init.py", config).returncode == 0
    (tmp_path / "forbid").touch()
    write(
        tmp_path / "inference.json",
        {
            "session_dir": "run",
            "inputs_meta": [{"input_converter": {"class": "toys.NumberToRow"}}],
        },
    )
    done = command("infer.py", "inference.json", "1,2")
    assert done.returncode == 0, done.stderr
    assert "y_hat" in done.stdout


def test_an_evaluation_is_laid_over_the_session(tmp_path: Path, command: Command) -> None:
    assert command("init.py", write(tmp_path / "c.json", toy_config())).returncode == 0
    over = {
        "session_dir": "run",
        "validation_pipelines": ["check"],
        "initialize": {
            "definitions": [
                {"group": "losses", "name": "mse", "spec": {"kwargs": {"reduction": "sum"}}},
                {
                    "group": "metrics",
                    "name": "error",
                    "spec": {"class": "MeanAbsoluteError", "inputs": ["y_hat", "y"]},
                },
            ],
            "pipelines": {"check": {"metrics": [{"metric_name": "error"}]}},
        },
    }
    done = command("evaluate.py", write(tmp_path / "e.json", over), "--json")
    assert done.returncode == 0, done.stderr
    assert list(json.loads(done.stdout)) == ["val loss", "error"]
    over["initialize"]["definitions"][1]["spec"]["class"] = "MeanAbsoluteErorr"  # type: ignore[index]
    done = command("evaluate.py", write(tmp_path / "e.json", over), "--json")
    assert done.returncode == 2
    assert 'did you mean "MeanAbsoluteError"' in done.stderr
    assert "e.json:" in done.stderr
    assert "Traceback" not in done.stderr


def test_problems_of_the_user_are_status_2(tmp_path: Path, command: Command) -> None:
    config = toy_config()
    config["sed"] = 1
    config["initialize"]["definitions"][5]["spec"]["modle"] = "net"
    done = command("init.py", write(tmp_path / "c.json", config))
    assert done.returncode == 2
    assert [line.split(": ")[1].split(":")[0] for line in done.stderr.splitlines()] == [
        "c.json"
    ] * 2
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.json"]
    for script, argument in (
        ("train.py", "none"),
        ("evaluate.py", "none.json"),
        ("infer.py", "none"),
        ("init.py", "none.json"),
    ):
        more = ["x"] if script == "infer.py" else []
        done = command(script, argument, *more)
        assert done.returncode == 2, script
        assert done.stderr.startswith("error: ")
        assert "Traceback" not in done.stderr


def test_the_users_exception_is_status_1(tmp_path: Path, command: Command) -> None:
    config = write(tmp_path / "c.json", toy_config(net={"class": "toys.Raising"}))
    early = command("init.py", config)
    assert early.returncode == 1
    assert not (tmp_path / "run").exists()
    assert command("init.py", config, "--no-preflight").returncode == 0
    done = command("train.py", "run")
    assert done.returncode == 1
    first = done.stderr.splitlines()[0]
    assert early.stderr.splitlines()[0] == first
    assert first == (
        'error: the node "net" of "processor", in the pipeline "fit": '
        "ArithmeticError: no forward today"
    )
    assert "toys.py" in done.stderr
    assert "torch/nn" not in done.stderr
    assert "torchassistant/" not in done.stderr


@pytest.mark.parametrize(
    ("number", "workers"), [(signal.SIGINT, 2), (signal.SIGTERM, 0), (signal.SIGTERM, 2)]
)
def test_signals(tmp_path: Path, command: Command, number: signal.Signals, workers: int) -> None:
    training = {
        "dataset": "parts.train",
        "kwargs": {"batch_size": 8, "num_workers": workers},
    }
    config = toy_config(points=SLOW, training=training)
    config["train"]["stages"][0]["stop_condition"]["kwargs"]["num_epochs"] = 500
    assert command("init.py", write(tmp_path / "c.json", config)).returncode == 0
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), "run"],
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    for _ in range(2):
        process.stderr.readline()
    time.sleep(0.1)
    # To the whole group, as a terminal sends Ctrl-C: the workers get it too.
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert "resumes from there" in errors
    assert "Traceback" not in errors
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_an_exception_in_a_worker_shows_the_users_frames(tmp_path: Path, command: Command) -> None:
    training = {"dataset": "points", "kwargs": {"num_workers": 1}}
    config = toy_config(points={"class": "toys.Broken"}, training=training)
    assert command("init.py", write(tmp_path / "c.json", config)).returncode == 0
    done = command("train.py", "run")
    assert done.returncode == 1
    first, *_, last = done.stderr.splitlines()
    assert first == (
        'error: the data of the loader factory "training", example 5 of the dataset "points": '
        "LookupError: example 5 is unreadable"
    )
    assert last == "LookupError: example 5 is unreadable"
    assert "toys.py" in done.stderr
    assert "site-packages" not in done.stderr


def test_code_that_exits_is_no_success(tmp_path: Path, command: Command) -> None:
    config = write(tmp_path / "c.json", toy_config(points={"class": "toys.Exiting"}))
    done = command("init.py", config)
    assert done.returncode == 1
    assert done.stderr.startswith("error: your code asked Python to exit (with 0)")
    assert "toys.py" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"]


def test_an_overlay_may_break_pipelines_that_are_not_run(tmp_path: Path, command: Command) -> None:
    assert command("init.py", write(tmp_path / "c.json", toy_config())).returncode == 0
    over: dict[str, Any] = {
        "session_dir": "run",
        "validation_pipelines": ["check"],
        "initialize": {"pipelines": {"fit": {"input_factories": [{"loader_factory": "gone"}]}}},
    }
    done = command("evaluate.py", write(tmp_path / "e.json", over))
    assert done.returncode == 0, done.stderr
    over["validation_pipelines"] = ["fit", "chek"]
    done = command("evaluate.py", write(tmp_path / "e.json", over))
    assert done.returncode == 2
    assert 'no loader factory is named "gone"' in done.stderr
    del over["initialize"]
    done = command("evaluate.py", write(tmp_path / "e.json", over))
    assert done.returncode == 2
    assert done.stderr == (
        "error: e.json:5:3: validation_pipelines[1]: "
        'no pipeline is named "chek"; did you mean "check"?\n'
    )


def test_ctrl_c_in_init_leaves_nothing(tmp_path: Path) -> None:
    config = write(tmp_path / "c.json", toy_config(points={"class": "toys.Sleepy"}))
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "init.py"), config],
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "building\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors == "interrupted: nothing was changed\n"
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"]


def test_help_of_every_script(command: Command) -> None:
    for script in ("init.py", "train.py", "evaluate.py", "infer.py"):
        done = command(script, "--help")
        assert done.returncode == 0
        assert done.stdout.startswith(f"usage: {script} ")
    assert command("train.py").returncode == 2


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from torchassistant.cli import main\n"
        "try: main(['train', '--help'], 'train.py')\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'pydantic', 'pandas'} & set(sys.modules), 'imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_the_console_command(tmp_path: Path) -> None:
    code = "import sys; from torchassistant.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "train", "none"],
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "error: none does not exist (init.py creates one)\n"


def test_a_folder_that_cannot_be_made_is_status_2(tmp_path: Path, command: Command) -> None:
    config = toy_config()
    (tmp_path / "file").touch()
    config["session_dir"] = "file/run"
    done = command("init.py", write(tmp_path / "c.json", config))
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Not a directory" in done.stderr or "File exists" in done.stderr
    assert "Traceback" not in done.stderr
