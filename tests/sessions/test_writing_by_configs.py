"""What a config has written: where it may be, and told before anything runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from toy_config import Command, files_of, toy_config, write

from torchassistant import create_session, load_session
from torchassistant.errors import ConfigError
from torchassistant.output_devices import JsonLines
from torchassistant.session import infer_config

DEBUG = {
    "graph": "graph",
    "input_factories": [{"variable_names": ["x", "y"], "loader_factory": "checking"}],
    "num_iterations": 1,
    "interval": 6,
    "output_keys": ["y_hat"],
}


def lines(path: str, **more: Any) -> dict[str, Any]:
    return {"class": "JsonLines", "args": [path], **more}


def watched(device: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The toy config with a debug pipeline."""
    config = toy_config(
        graph=("batch_graphs", {"nodes": ["processor"]}),
        **changes,
    )
    config["train"]["stages"][0]["debug_pipelines"] = [{**DEBUG, "output_device": device}]
    return config


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a session, and files of the user's around it."""
    work = tmp_path / "home" / "work"
    work.mkdir(parents=True)
    (tmp_path / "home" / ".profile").write_text("# mine\n")
    (work / "train.jsonl").write_text('{"x": 1}\n')
    (work / "away").symlink_to(tmp_path / "home")
    (work / ".bashrc").write_text("# mine\n")
    monkeypatch.chdir(work)
    monkeypatch.syspath_prepend(str(work))
    monkeypatch.setenv("TORCHASSISTANT_TRUST", "toys")
    create_session(toy_config(), preflight=False)
    return work


def asked(device: dict[str, Any], folder: str = "run") -> dict[str, Any]:
    return {
        "session_dir": folder,
        "inference_pipeline": "check",
        "inputs_meta": [{"input_converter": {"class": "toys.NumberToRow"}}],
        "results": ["y_hat"],
        "output_device": device,
    }


REFUSED = [
    lines("../.profile"),
    lines("../out.jsonl"),
    lines("${env:HOME}/.profile"),
    lines("${env:HOME}/out.jsonl"),
    lines(".bashrc"),
    lines("away/out.jsonl"),
    lines("train.jsonl"),
    lines("sitecustomize.py"),
    lines("run/changes.jsonl"),
    lines("run/checkpoints/x.jsonl"),
    {"class": "JsonLines", "kwargs": {"path": "../out.jsonl"}},
    {"class": "torchassistant.output_devices.JsonLines", "args": ["../out.jsonl"]},
    {"class": "SaveImages", "args": ["../images"]},
    {"class": "SaveImages", "args": ["away"]},
    {"class": "SaveImages", "args": ["images"], "kwargs": {"prefix": "."}},
    {"class": "SaveImages", "args": ["images"], "kwargs": {"prefix": "--x="}},
    {"class": "SaveImages", "kwargs": {"folder": ".git/hooks"}},
]


@pytest.mark.parametrize("device", REFUSED, ids=json.dumps)
def test_an_output_device_writes_nowhere_else(
    made: Path, device: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(made.parent))
    before = files_of(made.parent)
    inference = write(made / "inference.json", asked(device))
    training = write(made / "training.json", watched(device) | {"session_dir": "other"})
    for act in (lambda: infer_config(inference, ["1,2"]), lambda: create_session(training)):
        with pytest.raises(ConfigError) as caught:
            act()
        (problem,) = caught.value.problems
        assert "output_device" in problem.place.path
        assert problem.place.line
        assert "may not be" in problem.message or "--allow-write" in problem.message
    after = files_of(made.parent)
    for config in ("work/inference.json", "work/training.json"):
        del after[config]
    assert after == before


def test_what_the_session_had_is_judged_when_it_is_built(made: Path) -> None:
    """A constant is seen only then; and so is what a session from elsewhere says of itself."""
    (made / "mine.py").write_text('PATH = "../out.jsonl"\n')
    with pytest.raises(ConfigError, match="--allow-write"):
        infer_config(
            write(made / "inference.json", asked(lines({"constant": "mine.PATH"}))),  # type: ignore[arg-type]
            ["1,2"],
        )
    config = watched(lines(str(made.parent / "elsewhere" / "out.jsonl")))
    session = create_session(config, "stranger", allow_write=[str(made.parent)], preflight=False)
    spec = json.loads((session.path / "spec.json").read_text())
    assert spec["session_dir"] == "stranger"
    with pytest.raises(ConfigError, match="--allow-write"):
        load_session(session.path)


def test_inference_appends_to_its_own_lines(made: Path) -> None:
    config = write(made / "inference.json", asked(lines("predictions/out.jsonl")))
    for _ in range(2):
        assert infer_config(config, ["1,2"]).made == 1
    told = [json.loads(line) for line in (made / "predictions/out.jsonl").read_text().splitlines()]
    assert [one["input"] for one in told] == ["1,2", "1,2"]
    # Python is the user's own.
    JsonLines(made.parent / "mine")({"x": 1})


def test_the_session_folder_and_what_is_allowed(made: Path, tmp_path: Path) -> None:
    create_session(toy_config(), tmp_path / "scratch" / "run", preflight=False)
    session = str(tmp_path / "scratch" / "run")
    config = write(made / "one.json", asked(lines(f"{session}/predictions.jsonl"), session))
    assert infer_config(config, ["1,2"]).made == 1
    config = write(made / "two.json", asked(lines(f"{tmp_path}/elsewhere/out.jsonl"), session))
    with pytest.raises(ConfigError, match=f"--allow-write {tmp_path}/elsewhere on the command"):
        infer_config(config, ["1,2"])
    assert infer_config(config, ["1,2"], allow_write=[str(tmp_path / "elsewhere")]).made == 1
    assert (tmp_path / "elsewhere" / "out.jsonl").is_file()


def test_what_a_link_hides_later_is_not_written(made: Path) -> None:
    """A file that becomes a link between two predictions."""
    (made / "linking.py").write_text(
        "import os\n\n\ndef number(text):\n"
        "    if text == '3,4':\n        os.rename('out', 'was')\n        os.symlink('..', 'out')\n"
        "    import toys\n    return toys.NumberToRow()(text)\n"
    )
    config = asked(lines("out/out.jsonl"))
    config["inputs_meta"] = [{"input_converter": {"class": "linking.Number"}}]
    (made / "linking.py").write_text(
        (made / "linking.py").read_text()
        + "\n\nclass Number:\n    def __call__(self, text):\n        return number(text)\n"
    )
    outcome = infer_config(write(made / "c.json", config), ["1,2", "3,4"])
    assert (outcome.made, outcome.failed, outcome.misfits) == (1, 1, 1)
    assert not (made.parent / "out.jsonl").exists()


def test_the_commands_tell_it(tmp_path: Path, command: Command) -> None:
    config = write(tmp_path / "config.json", watched(lines("../out.jsonl")))
    done = command("-m", "torchassistant", "check", config)
    assert done.returncode == 2
    assert "debug_pipelines[0].output_device.args[0]: JsonLines: " in done.stderr
    assert f"--allow-write {tmp_path.parent} on the command line" in done.stderr
    done = command("init.py", config, "--allow-write", "..", "--no-preflight")
    assert done.returncode == 0, done.stderr
    done = command("train.py", "run")
    assert (done.returncode, "--allow-write" in done.stderr) == (2, True)
    assert not (tmp_path.parent / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("folder", "is_fine"),
    [
        *(("runs/x", True), (".runs/x", True), ("../beside/x", True), ("{tmp}/scratch/x", True)),
        *(("../.config/autostart/x", False), ("{tmp}/.ssh", False), ("../.config/../x", True)),
        *(("{tmp}/site-packages/x", False), ("{tmp}/allowed/.x/y", True), ("../~/x", False)),
    ],
)
def test_where_a_session_may_be_made(made: Path, folder: str, is_fine: bool) -> None:
    path = folder.format(tmp=made.parent)
    config = toy_config() | {"session_dir": path}
    if is_fine:
        made_there = create_session(
            config, preflight=False, allow_write=[str(made.parent / "allowed")]
        )
        assert made_there.path.resolve() == (made / path).resolve()
        return
    with pytest.raises(ConfigError, match=r"session_dir: .* --allow-write /"):
        create_session(config, preflight=False)
    assert not (made / path).exists()
