"""The command ``report``: whole sessions, running and damaged ones, names that are hostile."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from written_sessions import HOSTILE, csv_of, rows_of_epochs, spec_of, tensor_file, write_session

from torchassistant.cli.main import main
from torchassistant.report.page import MARK
from torchassistant.report.sessions import names_of

ROOT = Path(__file__).resolve().parents[2]


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    status = main([*map(str, arguments)])
    out, err = capsys.readouterr()
    return status, out, err


def data_in(path: Path) -> Any:
    """What a report holds."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', path.read_text())
    assert found is not None
    return json.loads(found[1])


def test_a_report_stands_in_its_session(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_session(tmp_path / "run")
    status, out, err = run(capsys, "report", folder)
    assert (status, err) == (0, "")
    path = folder / "report.html"
    assert out == f"{path}\n"
    assert MARK in path.read_text()[:400]
    (session,) = data_in(path)["sessions"]
    assert (session["name"], session["state"], session["epoch"]) == ("run", "finished", 8)
    assert session["kinds"]["val loss"] == {"kind": "loss", "mode": "min", "is_validated": True}
    # It takes the place of an earlier one, and is no strange file for what looks over the folder.
    status, out, _ = run(capsys, "report", folder, "--json")
    assert (status, json.loads(out)["file"]) == (0, str(path))


def test_several_sessions_lie_in_the_working_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one = write_session(tmp_path / "runs" / "one", seed=1)
    write_session(tmp_path / "runs" / "two", seed=2)
    assert run(capsys, "report", "runs", one)[:2] == (0, "report.html\n")
    data = data_in(tmp_path / "report.html")
    assert [session["name"] for session in data["sessions"]] == ["one", "two"]
    assert data["differences"][0]["config"] == {"seed": [1, 2]}


def test_what_stands_in_the_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_session(tmp_path / "run")
    (tmp_path / "notes.html").write_text("mine")
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        ((tmp_path / "none",), "does not exist"),
        ((tmp_path / "empty",), "none is in it"),
        ((Path(__file__),), "it is a file"),
        ((folder, "-o", tmp_path / "notes.html"), "is there already, and is no report"),
        ((folder, "-o", tmp_path), "is a folder"),
        ((folder, "-o", tmp_path / "no" / "a.html"), "there is no folder"),
        ((folder, "--predictions", tmp_path / "notes.html"), "holds no predictions"),
    ):
        status, out, err = run(capsys, "report", *arguments)
        assert (status, out) == (2, ""), arguments
        assert message in err
    assert (tmp_path / "notes.html").read_text() == "mine"


def test_what_is_damaged_is_told_and_the_rest_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = write_session(tmp_path / "whole")
    half = write_session(
        tmp_path / "half",
        files={
            "spec.json": "{",
            "metrics/0-10.safetensors": b"\xff" * 20,
            "samples/x/epoch-1/samples.jsonl": "[1]\n{",
            "changes.jsonl": "{\n[]\n",
        },
    )
    torn = write_session(tmp_path / "torn", files={"metrics/0.csv": "epoch,step\n1\n"})
    status, _, err = run(capsys, "report", whole, half, torn, "-o", tmp_path / "r.html")
    assert status == 0
    assert "half: spec.json is not valid JSON" in err
    assert "torn: metrics/0.csv is not a history" in err
    assert "metrics/0-10.safetensors is not" in err
    states = [session["state"] for session in data_in(tmp_path / "r.html")["sessions"]]
    assert states == ["finished", "damaged", "damaged"]


def test_no_name_ends_the_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_session(
        tmp_path / "a '\"&<b>",
        [rows_of_epochs((1, 2), **{HOSTILE: lambda epoch: epoch})],
        files={"environment.json": {"time": HOSTILE, "command": [HOSTILE]}},
    )
    assert run(capsys, "report", folder)[0] == 0
    page = (folder / "report.html").read_text()
    assert HOSTILE not in page
    assert page.count("</script>") == 2
    assert HOSTILE in data_in(folder / "report.html")["sessions"][0]["rows"]["values"]


def test_tensors_and_samples_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        {"index": 0, "scores": [3.0, 0.0], "label": 0, "image": {"png": "0.png"}},
        {"index": 1, "scores": [3.0, 0.0], "label": 1, "image": {"png": "../../spec.json"}},
    ]
    folder = write_session(
        tmp_path / "run",
        files={
            "metrics/0-80.safetensors": tensor_file(
                {"confusion": [[5.0, 1.0], [0.0, 4.0]], "roc": ([0.0, 1.0], [0.0, 1.0], [1.0, 0.0])}
            ),
            "samples/shown/epoch-0002/samples.jsonl": "".join(f"{json.dumps(x)}\n" for x in lines),
            "samples/shown/epoch-0002/0.png": b"\x89PNG\r\n\x1a\nrest",
            "evaluations/0000000080/check.csv": "index,scores[0],scores[1],label,val loss\n"
            "0,1,0,0,0.3\n1,1,0,1,1.3\n",
            "evaluations/0000000080/results.json": {"val loss": 0.8},
        },
    )
    assert run(capsys, "report", folder)[0] == 0
    (session,) = data_in(folder / "report.html")["sessions"]
    assert {t["name"]: t["look"] for t in session["tensors"]} == {
        "confusion": "matrix",
        "roc": "roc",
    }
    evaluated, shown = session["looks"]
    assert evaluated["looks"][0]["measure"] == "val loss"
    assert [row["cells"]["index"] for row in evaluated["looks"][0]["rows"]] == [1, 0]
    worst, right = shown["looks"][0]["rows"]
    assert (worst["is_wrong"], worst["predicted"], worst["expected"]) == (True, 0, 1)
    assert worst["cells"]["image"] is None  # not beside the others
    assert right["cells"]["image"]["png"]
    assert session["results"] == {"0000000080": {"val loss": 0.8}}


def test_names_are_as_long_as_it_takes() -> None:
    paths = [Path(path) for path in ("/a/run", "/b/run", "/b/other")]
    assert names_of(paths) == ["a/run", "b/run", "other"]


def test_ten_long_sessions_are_written_at_once(tmp_path: Path) -> None:
    """Within 2 s and 5 MB, and without torch; in a process of its own, as a person starts it."""
    for number in range(10):
        more = {f"m{k}": (lambda epoch, k=k: epoch / (k + 3.7)) for k in range(10)}
        write_session(
            tmp_path / f"run{number}",
            [rows_of_epochs(range(1, 1001), 1 + number / 10, **more)],
            layers=number + 1,  # so that each has a graph of its own
        )
    code = (
        "import sys; from torchassistant.cli.main import main\n"
        "assert main(['report', '.', '-o', 'report.html']) == 0\n"
        "print({'torch', 'pandas', 'numpy'} & sys.modules.keys() or 'light')"
    )
    began = _seconds_of_children()
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    seconds = _seconds_of_children() - began
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "light"
    assert (tmp_path / "report.html").stat().st_size < 5_000_000
    assert seconds < 4, "2 s on an idle machine"


def _seconds_of_children() -> float:
    """Of the processor, for all processes that this one has waited for: no load adds to it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_a_report_that_follows_ends_with_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_session(tmp_path / "run", [rows_of_epochs((1,))])
    progress = {"progress": {"stage": 0, "epoch": 1, "step": 10}}
    state = folder / "checkpoints" / "0000000010" / "state.json"
    state.write_text(json.dumps(progress))
    watched = []

    def sleep(seconds: float) -> None:
        watched.append(data_in(folder / "report.html")["watched"])
        (folder / "metrics" / "0.csv").write_text(csv_of(rows_of_epochs((1, 2))))
        if len(watched) == 2:
            state.write_text(json.dumps({"progress": {"stage": 1, "epoch": 2, "step": 20}}))

    monkeypatch.setattr(time, "sleep", sleep)
    assert run(capsys, "report", folder, "--watch")[0] == 0
    assert watched == [10.0, 10.0]
    data = data_in(folder / "report.html")
    assert (data["watched"], data["sessions"][0]["rows"]["count"]) == (None, 2)


def test_a_report_that_follows_is_ended_by_the_person(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {"checkpoints/0000000010/state.json": {"progress": {"stage": 0, "epoch": 1, "step": 1}}}
    folder = write_session(tmp_path / "run", [rows_of_epochs((1,))], files=state)

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    assert run(capsys, "report", folder, "--watch")[0] == 0
    assert data_in(folder / "report.html")["watched"] is None


def test_what_draws_graphs_may_be_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_session(tmp_path / "run")
    monkeypatch.setitem(sys.modules, "graphlay", None)
    status, _, err = run(capsys, "report", folder)
    assert status == 0
    assert 'pip install "torchassistant[graph]"' in err
    (session,) = data_in(folder / "report.html")["sessions"]
    assert (session["graph"], session["rows"]["count"]) == (None, 8)


def test_the_config_may_be_anything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = spec_of(tmp_path)
    spec["initialize"] = {
        "definitions": [3, {"name": 4}],
        "pipelines": {"a": 1, "b": {"losses": 2}},
    }
    spec["checkpoints"] = {"best": 3}
    folder = write_session(tmp_path / "run", files={"spec.json": spec})
    assert run(capsys, "report", folder)[0] == 0


def test_pictures_are_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = tensor_file({"confusion": [[5.0, 1.0], [0.0, 4.0]], "roc": ([0.0, 1.0], [0.0, 1.0])})
    rows = [{"epoch": n, "step": 10 * n, "$x_{": n, "a/b": n, "a b": n} for n in (1, 2)]
    folder = write_session(tmp_path / "run", [rows], files={"metrics/0-20.safetensors": matrix})
    status, out, _ = run(capsys, "report", folder, "--png", tmp_path / "png", "--json")
    assert status == 0
    pictures = [Path(path) for path in json.loads(out)["pictures"]]
    assert sorted(pictures) == sorted((tmp_path / "png").iterdir())
    assert len(pictures) == 6
    assert (tmp_path / "png" / "training_graph.png") in pictures
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    status, _, err = run(capsys, "report", folder, "--png", tmp_path / "png")
    assert status == 2
    assert "pip install torchassistant[report]" in err
