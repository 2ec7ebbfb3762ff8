"""The commands ``runs`` and ``diff``: over whole sessions, over running and damaged ones."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from torchassistant.cli.main import main
from torchassistant.errors import SessionError
from torchassistant.lock_holder import lock_holder
from torchassistant.overview import compare, sessions_in, summarize
from torchassistant.overview.stored import rows_of

STATE = {"progress": {"stage": 0, "epoch": 1, "step": 4}, "random": {}}


def session(folder: Path, **changes: Any) -> Path:
    """A folder as training leaves it; changes stand in the place of what its files hold."""
    spec: dict[str, Any] = {
        "session_dir": str(folder),
        "seed": 1,
        "checkpoints": {"best": [{"monitor": "val acc", "mode": "max", "keep": 1}]},
        "initialize": {
            "definitions": [
                {"name": "net", "group": "models", "spec": {"class": "Net", "kwargs": {"n": 3}}}
            ]
        },
        "train": {"stages": [{"name": "warm", "training_pipelines": ["fit"]}, {}]},
    }
    files: dict[str, Any] = {
        "spec.json": spec,
        "environment.json": {"time": "2026-01-02T03:04:05+00:00", "packages": {"torch": "2.10"}},
        "checkpoints/0000000004/state.json": STATE,
        "checkpoints/0000000004/code.json": {"models": {"nets.Net": "class Net:\n    n = 3\n"}},
        "metrics/0.csv": "epoch,step,loss,val acc,seconds\n1,4,0.5,0.75,1.0\n2,8,0.25,0.5,1.0\n",
    }
    for name, content in (files | changes).items():
        if content is None:
            continue
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    status = main([*map(str, arguments)])
    out, err = capsys.readouterr()
    return status, out, err


def test_a_session_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    session(tmp_path / "group" / "one")
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, "runs")
    assert (status, err) == (0, "")
    header, line = out.splitlines()
    assert " ".join(header.split()) == "session state stage epoch best last change size"
    assert line.startswith("group/one  stopped  1/2 warm  2      val acc 0.75 (epoch 1)  ")
    status, out, _ = run(capsys, "runs", ".", "--json")
    (told,) = json.loads(out)["sessions"]
    assert told["state"] == "stopped"
    assert told["best"] == [{"monitor": "val acc", "mode": "max", "value": 0.75, "epoch": 1}]
    assert told["last"] == {"loss": 0.25, "val acc": 0.5}
    assert told["created"] == "2026-01-02T03:04:05+00:00"
    assert (told["stage"], told["stages"], told["epoch"], told["step"]) == (1, 2, 2, 8)


def test_what_is_done_and_what_has_not_begun(tmp_path: Path) -> None:
    done = session(
        tmp_path / "done",
        **{"checkpoints/0000000009/state.json": {"progress": {"stage": 2, "epoch": 3, "step": 9}}},
    )
    assert summarize(done).condition == "finished"
    assert summarize(done).stage == 2
    new = {"progress": {"stage": 0, "epoch": 0, "step": 0}}
    begins = session(
        tmp_path / "new", **{"checkpoints/0000000004/state.json": new, "metrics/0.csv": None}
    )
    found = summarize(begins)
    assert (found.condition, found.epoch, found.last) == ("stopped", 0, {})
    assert found.best[0].value is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who holds a lock")
def test_a_session_that_is_being_trained(tmp_path: Path) -> None:
    folder = session(tmp_path / "one")
    holds = (
        "import fcntl, sys; file = open(sys.argv[1], 'r+'); fcntl.lockf(file, fcntl.LOCK_EX)\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holds, str(folder / "environment.json")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = summarize(folder)
        assert (found.condition, found.process) == ("running", process.pid)
        with (folder / "environment.json").open() as file:
            assert lock_holder(file.fileno()) == process.pid
        # Looking has not taken the lock away.
        with (folder / "environment.json").open("r+") as file, pytest.raises(OSError):
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        process.communicate()
    assert summarize(folder).condition == "stopped"


def test_a_row_that_is_being_written_does_not_count(tmp_path: Path) -> None:
    text = "epoch,step,loss,val acc,seconds\n1,4,0.5,,1.0\n2,8,0.2"
    found = summarize(session(tmp_path / "one", **{"metrics/0.csv": text}))
    assert (found.epoch, found.last) == (1, {"loss": 0.5})
    assert rows_of(found.path, 0) == [{"epoch": 1.0, "step": 4.0, "loss": 0.5, "seconds": 1.0}]
    assert rows_of(found.path, 1) == []


def test_a_checkpoint_that_is_removed_meanwhile_is_passed_over(tmp_path: Path) -> None:
    folder = session(tmp_path / "one")
    (folder / "checkpoints" / "0000000012").mkdir()
    assert summarize(folder).condition == "stopped"


DAMAGE: dict[str, tuple[dict[str, Any], str]] = {
    "no spec": ({"spec.json": None}, "spec.json is missing"),
    "half a spec": ({"spec.json": "{"}, "spec.json is not valid JSON"),
    "a list": ({"spec.json": "[]"}, "spec.json holds no JSON object"),
    "no stages": ({"spec.json": {"train": {"stages": [1]}}}, "spec.json has no stages"),
    "no state": ({"checkpoints/0000000004/state.json": None}, "no checkpoint has state.json"),
    "no progress": ({"checkpoints/0000000004/state.json": {"progress": 3}}, "how far"),
    "no history": ({"metrics/0.csv": "epoch,step\n1\n"}, "metrics/0.csv is not a history"),
    "deep": ({"spec.json": "[" * 10**5}, "levels deep"),
}


def test_what_is_damaged_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, (changes, _) in DAMAGE.items():
        session(tmp_path / name, **changes)
    session(tmp_path / "whole", **{"environment.json": "{"})
    os.mkfifo(tmp_path / "whole" / "fifo")
    fifo = session(tmp_path / "fifo", **{"metrics/0.csv": None})
    (fifo / "metrics").mkdir()
    os.mkfifo(fifo / "metrics" / "0.csv")
    status, out, err = run(capsys, "runs", tmp_path)
    assert status == 0
    assert len(out.splitlines()) == len(DAMAGE) + 3
    warnings = {line.partition(" is damaged: ")[0]: line for line in err.splitlines()}
    for name, (_, message) in DAMAGE.items():
        assert message in warnings[f"warning: {tmp_path / name}"]
    assert "is a FIFO" in warnings[f"warning: {fifo}"]
    assert len(warnings) == len(DAMAGE) + 1


def test_folders_that_hold_no_session(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data" / "a" / "b").mkdir(parents=True)
    session(tmp_path / ".hidden" / "one")
    (tmp_path / "link").symlink_to(tmp_path / ".hidden")
    status, out, err = run(capsys, "runs", tmp_path)
    assert (status, out) == (0, "")
    assert err.startswith("no session in ")
    status, out, _ = run(capsys, "runs", tmp_path, "--json")
    assert (status, json.loads(out)) == (0, {"sessions": []})
    status, out, err = run(capsys, "runs", tmp_path / "none")
    assert (status, out) == (2, "")
    assert "is not a folder" in err
    assert [*sessions_in(tmp_path / ".hidden" / "one")] == [tmp_path / ".hidden" / "one"]


def test_a_hundred_sessions_take_no_time(tmp_path: Path) -> None:
    one = session(tmp_path / "0")
    for number in range(1, 100):
        shutil.copytree(one, tmp_path / str(number))
    began = time.process_time()
    assert len([summarize(path) for path in sessions_in(tmp_path)]) == 100
    assert time.process_time() - began < 0.3


def test_what_two_sessions_differ_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = session(tmp_path / "one")
    spec = json.loads((one / "spec.json").read_text())
    assert compare(one, one).config == {}
    spec["seed"] = 2
    spec["initialize"]["definitions"][0]["spec"]["kwargs"]["n"] = True
    spec["initialize"]["definitions"].insert(0, {"name": "extra", "group": "losses"})
    spec["train"]["stages"][1]["name"] = "last"
    other = session(
        tmp_path / "other",
        **{
            "spec.json": spec,
            "environment.json": {"time": "now", "packages": {"torch": "2.14"}},
            "checkpoints/0000000004/code.json": {"models": {"nets.Net": "class Net:\n    n = 4\n"}},
            "metrics/1.csv": "epoch,step,loss,seconds\n3,9,nan,1.0\n",
        },
    )
    difference = compare(one, other)
    assert difference.config == {
        "seed": (1, 2),
        "initialize.definitions[net].spec.kwargs.n": (3, True),
        "initialize.definitions[extra]": (None, {"name": "extra", "group": "losses"}),
        "train.stages[1].name": (None, "last"),
    }
    assert difference.environment["packages.torch"] == ("2.10", "2.14")
    assert [*difference.code] == ["nets.Net"]
    assert difference.code["nets.Net"][-2:] == ["-    n = 3", "+    n = 4"]
    assert difference.results["val acc"]["greatest"] == (0.75, 0.75)
    status, out, err = run(capsys, "diff", one, other)
    assert (status, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert ["seed", "1", "2"] in lines
    assert ["loss", "0.25", "nan", "0.25", "0.25", "0.5", "0.5"] in lines
    status, out, _ = run(capsys, "diff", one, other, "--json")
    told = json.loads(out)
    assert told["config"]["seed"] == [1, 2]
    assert told["results"]["loss"]["last"] == [0.25, None]


def test_what_is_no_session_is_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = session(tmp_path / "one")
    status, out, err = run(capsys, "diff", one, tmp_path)
    assert (status, out) == (2, "")
    assert "is not a session folder" in err
    with pytest.raises(SessionError, match=r"is damaged: spec\.json is not valid JSON"):
        compare(one, session(tmp_path / "half", **{"spec.json": "{"}))
    bare = session(tmp_path / "bare", **{"checkpoints/0000000004/code.json": None})
    (bare / "environment.json").unlink()
    assert compare(one, bare).code.keys() == {"nets.Net"}


def test_neither_imports_torch(tmp_path: Path) -> None:
    session(tmp_path / "one")
    code = (
        "import sys; from torchassistant.cli.main import main\n"
        "main(['runs', '.']), main(['diff', 'one', 'one'])\n"
        "print({'torch', 'pydantic', 'pandas', 'safetensors'} & sys.modules.keys() or 'light')"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "light"
