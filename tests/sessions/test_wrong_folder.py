"""A config where a session is wanted, a session where a config is, and the other way round."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_config import Command, toy_config, write

import torchassistant
from torchassistant.cli import main
from torchassistant.cli.arguments import SUMMARIES
from torchassistant.config import EvaluationSpec, InferenceSpec, read
from torchassistant.errors import ConfigError, SessionError
from torchassistant.session import evaluate_config, infer_config

EVALUATION = {"session_dir": "run", "validation_pipelines": ["check"]}
INFERENCE = {"session_dir": "run", "results": ["y_hat"]}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a config of each kind; no session yet."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "training.json", toy_config())
    write(tmp_path / "evaluation.json", EVALUATION)
    write(tmp_path / "inference.json", INFERENCE)
    (tmp_path / "notes.txt").write_text("no JSON")
    return tmp_path


def no_session(path: str) -> str:
    with pytest.raises(SessionError) as caught:
        torchassistant.load_session(path)
    (problem,) = caught.value.problems
    return problem.message


def test_what_is_named_in_place_of_a_session(home: Path) -> None:
    makes = "init.py training.json makes the session, run"
    assert no_session("training.json").endswith(
        f"is a training config, and no session folder; {makes}"
    )
    assert "an evaluation config, and no session" in no_session("evaluation.json")
    assert "the session that it is for, run, does not exist" in no_session("inference.json")
    assert (
        no_session("notes.txt") == "notes.txt is a file, not a session folder (init.py creates one)"
    )
    assert no_session("none") == "none does not exist (init.py creates one)"
    torchassistant.create_session("training.json", trust=["toys"], preflight=False)
    assert no_session("training.json").endswith("no session folder; run is its session")
    assert no_session("evaluation.json").endswith("no session folder; run is its session")
    for part in ("run/checkpoints", "run/spec.json", "run/checkpoints/0000000000/models"):
        assert no_session(part) == (
            f"{part} is not a session folder; it is a part of the session run"
        )
    assert no_session(".").endswith('is not a session folder (it holds the session "run")')
    assert no_session("rnu").endswith('does not exist (init.py creates one); did you mean "run"?')


def no_config(path: str, block: type) -> str:
    with pytest.raises(ConfigError) as caught:
        read(path, block=block)
    (problem,) = caught.value.problems
    return str(problem)


@pytest.mark.parametrize(
    ("file", "block", "told"),
    [
        ("training.json", EvaluationSpec, "a training config, which init.py takes; an evaluation"),
        ("training.json", InferenceSpec, "a training config, which init.py takes; an inference"),
        ("inference.json", EvaluationSpec, "an inference config, which infer.py takes"),
        ("evaluation.json", InferenceSpec, "an evaluation config, which evaluate.py takes"),
        (
            "evaluation.json",
            language := torchassistant.config.Spec,
            "a training config is expected",
        ),
        ("inference.json", language, "an inference config, which infer.py takes"),
        (".", language, 'it holds "evaluation.json", "inference.json", "training.json"'),
        ("trainnig.json", language, 'did you mean "training.json"?'),
        ("training", EvaluationSpec, 'did you mean "training.json"?'),
    ],
)
def test_what_is_named_in_place_of_a_config(home: Path, file: str, block: type, told: str) -> None:
    assert told in no_config(file, block)


def test_a_session_in_place_of_a_config(home: Path) -> None:
    torchassistant.create_session("training.json", trust=["toys"], preflight=False)
    told = no_config("run", torchassistant.config.Spec)
    assert "this is a session folder, and a config is expected here" in told
    assert "run/spec.json is its config" in told


def test_a_key_by_mistake_makes_no_other_kind_of_it(home: Path) -> None:
    config = toy_config()
    del config["train"], config["seed"]
    write(home / "c.json", {**config, "results": ["y"]})
    assert any('unknown key "results"' in p.message for p in diagnostics(home / "c.json"))
    write(home / "e.json", {"session_dir": "run", "seed": 3})
    with pytest.raises(SessionError) as caught:
        evaluate_config("e.json")
    told = [str(problem) for problem in caught.value.problems]
    assert 'unknown key "seed"' in told[0]
    assert told[1].startswith("e.json:2:17: session_dir: run does not exist")
    with pytest.raises(ConfigError, match="this is a training config"):
        infer_config("training.json", ["1"])


def diagnostics(path: Path) -> list[torchassistant.errors.Problem]:
    found = read(path)
    torchassistant.config.spec_of(found)
    return found.problems


def test_the_command_says_so(home: Path, command: Command) -> None:
    done = command("train.py", "training.json")
    told = "is a training config, and no session folder; init.py training.json makes the session"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: training.json {told}, run\n"


@pytest.mark.parametrize("command", [None, *SUMMARIES])
@pytest.mark.parametrize("prog", ["torchassistant", "x.py"])
def test_version(capsys: pytest.CaptureFixture[str], command: str | None, prog: str) -> None:
    if command is None and prog != "torchassistant":
        return
    with pytest.raises(SystemExit) as ended:
        main([command, "--version"] if command else ["--version"], prog)
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"torchassistant {torchassistant.__version__}\n"


def test_a_session_that_is_near_is_named(home: Path) -> None:
    torchassistant.create_session("training.json", trust=["toys"], preflight=False)
    with pytest.raises(SessionError, match=r'rnu does not exist .* did you mean "run"'):
        evaluate_config("rnu")
    with pytest.raises(ConfigError, match=r'did you mean "evaluation.json"'):
        evaluate_config("evaluation")
