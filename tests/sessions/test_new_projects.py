"""``torchassistant new``: each kind is made, checked, built, trained, and reads well."""

from __future__ import annotations

import json
import keyword
import re
import shlex
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_config import ROOT, Command, environment
from warm_commands import WarmCommands

from torchassistant.config import read, spec_of
from torchassistant.projects import KINDS, make_project, module_name

REACHED = {
    "classifier": ("test accuracy", 0.9),
    "regression": ("test R2", 0.999),
    "segmentation": ("test IoU", 0.85),
    "gan": ("samples/rarest", 0.15),
    "seq2seq": ("test right", 0.97),
    "distillation": ("student test accuracy", 0.7),
    "finetune": ("test accuracy", 0.9),
}
"""What a whole training of each kind reaches at least: less than its README says."""


@pytest.fixture(scope="module", params=KINDS)
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project of each kind."""
    folder = tmp_path_factory.mktemp("projects") / f"my {request.param}"
    return make_project(request.param, folder).folder


@pytest.fixture
def run(project: Path, warm_commands: WarmCommands) -> Command:
    """A command in the folder of the project."""

    def run(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        called = ("-m", "torchassistant", command, *arguments)
        done = warm_commands.run(*called, cwd=project, env=environment(), timeout=600)
        assert done.returncode == 0, done.stderr
        return done

    return run


def commands_in(readme: str) -> list[list[str]]:
    """The commands of the first block of a README, without ``torchassistant``."""
    block = readme.partition("```\n")[2].partition("```")[0]
    commands = [shlex.split(line) for line in block.splitlines()]
    assert all(name == "torchassistant" for name, *_ in commands)
    return [arguments for _, *arguments in commands]


def test_it_runs(project: Path, run: Command) -> None:
    assert run("init", "training.json").stderr == ""
    run("train", "sessions/first", "--limit-batches", "1")


def test_its_page_tells_what_comes_next(project: Path) -> None:
    readme = (project / "README.md").read_text(encoding="utf-8")
    steps = [name for name, *_ in commands_in(readme)]
    assert steps == ["check", "init", "train", "evaluate", "infer", "report"]
    texts = [
        path.read_text("utf-8")
        for path in project.iterdir()
        if path.is_file() and path.suffix != ".png"
    ]
    assert not any("PROJECT" in text for text in texts)
    files = {path.name for path in project.iterdir()}
    assert set(re.findall(r"[\w.]+\.(?:py|json|png)\b", readme)) <= files
    assert files >= {"README.md", ".gitignore", "training.json", f"my_{project.name[3:]}.py"}


def test_its_code_is_in_good_form(project: Path) -> None:
    for check in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *check, "--config", str(ROOT / "pyproject.toml"), "."]
        done = subprocess.run(ruff, cwd=project, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_it_learns_and_every_command_of_its_page_runs(project: Path, run: Command) -> None:
    name, least = REACHED[project.name[3:]]
    for arguments in commands_in((project / "README.md").read_text(encoding="utf-8")):
        if arguments[0] == "init" and (project / "sessions" / "first").exists():
            arguments += ["--replace", "first"]
        done = run(*arguments)
        assert done.stdout.strip()
        if arguments[0] == "evaluate":
            assert json.loads(run(*arguments, "--json").stdout)[name] >= least
        if arguments[0] == "infer" and (prediction := expected(project)):
            assert done.stdout.strip() == prediction
    assert (project / "sessions" / "first" / "report.html").is_file()


def expected(project: Path) -> str | None:
    """What "infer" prints, where a page tells."""
    told = re.search(
        r"^- `infer` .*shows: `(\w+)`", (project / "README.md").read_text("utf-8"), re.M
    )
    return told and told[1]


def test_kinds_are_listed(command: Command) -> None:
    done = command("-m", "torchassistant", "new")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(KINDS)
    assert json.loads(command("-m", "torchassistant", "new", "--json").stdout) == {"kinds": KINDS}


def test_a_project_goes_into_a_new_folder_or_an_empty_one(command: Command, tmp_path: Path) -> None:
    made = command("-m", "torchassistant", "new", "gan", "Große Würfe/2")
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.splitlines()[1:3] == ["next:", "  cd 'Große Würfe/2'"]
    assert (tmp_path / "Große Würfe" / "2" / "project_2.py").is_file()
    told = command("-m", "torchassistant", "new", "gan", "Große Würfe")
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith("error: Große Würfe is not empty; ")

    (tmp_path / "here").mkdir()
    made = command("-m", "torchassistant", "new", "seq2seq", "here", "--json")
    assert json.loads(made.stdout) == {
        "folder": "here",
        "files": ["README.md", "here.py", "training.json", ".gitignore"],
    }
    (tmp_path / "file").touch()
    (tmp_path / "nowhere").symlink_to("nothing")
    for name in ("file", "nowhere"):
        told = command("-m", "torchassistant", "new", "gan", name)
        assert (told.returncode, told.stderr) == (2, f"error: {name} is there, and is no folder\n")


@pytest.mark.parametrize("kind", KINDS)
def test_a_config_in_yaml_is_that_in_json(tmp_path: Path, kind: str) -> None:
    for form in ("json", "yaml"):
        make_project(kind, tmp_path / form / "same", in_yaml=form == "yaml")
    one, other = (read(tmp_path / form / "same" / f"training.{form}") for form in ("json", "yaml"))
    assert spec_of(one) == spec_of(other)
    readme = (tmp_path / "yaml" / "same" / "README.md").read_text("utf-8")
    assert "init training.yaml" in readme and "training.json" not in readme
    names = [
        {path.stem for path in (tmp_path / form / "same").iterdir()} for form in ("json", "yaml")
    ]
    assert names[0] == names[1]


def test_a_project_in_yaml_runs(command: Command, tmp_path: Path) -> None:
    made = command("-m", "torchassistant", "new", "seq2seq", ".", "--yaml")
    assert made.returncode == 0, made.stderr
    assert "init training.yaml" in made.stdout
    checked = command("-m", "torchassistant", "check", "training.yaml")
    assert (checked.returncode, checked.stderr) == (0, "")


def test_what_is_wrong_is_told(command: Command, tmp_path: Path) -> None:
    told = command("-m", "torchassistant", "new", "clasifier", "new")
    assert (told.returncode, told.stdout) == (2, "")
    assert 'kind of project "clasifier"; did you mean "classifier"?' in told.stderr
    assert all(f"\n  {kind}: " in told.stderr for kind in KINDS)
    told = command("-m", "torchassistant", "new", "gan")
    assert (told.returncode, told.stdout) == (2, "")
    assert "torchassistant new gan my-gan" in told.stderr
    assert not any(tmp_path.iterdir())


def test_nothing_is_left_where_it_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(type(tmp_path)):  # type: ignore[misc]
        def open(self, *arguments: str) -> object:
            if self.name == "training.json":
                raise OSError(28, "No space left on device", str(self))
            return super().open(*arguments)

    with pytest.raises(OSError, match="No space left"):
        make_project("gan", Full(tmp_path / "new"))
    assert not any(tmp_path.iterdir())
    (tmp_path / "empty").mkdir()
    with pytest.raises(OSError, match="No space left"):
        make_project("gan", Full(tmp_path / "empty"))
    assert not any((tmp_path / "empty").iterdir())


NAMES = {
    "My first-run 2": "my_first_run_2",
    "2026": "project_2026",
    "…": "project",
    "Größe": "größe",
    "ﬁle": "file",
    "class": "class_project",
    "torch": "torch_project",
    "json": "json_project",
    "torchassistant": "torchassistant_project",
    "a" * 200: "a" * 40,
}


@pytest.mark.parametrize("folder", NAMES)
def test_names_of_modules(folder: str) -> None:
    assert module_name(folder) == NAMES[folder]


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_every_name_of_a_folder_gives_one_of_a_module(folder: str) -> None:
    name = module_name(folder)
    assert name.isidentifier() and not keyword.iskeyword(name)
    assert name == unicodedata.normalize("NFKC", name)  # as Python looks it up
    assert len(f"{name}.py".encode()) <= 255


def test_torch_stays_out() -> None:
    code = (
        "import sys; from torchassistant.cli import main; main(['new', '--json']); "
        "print(*({'torch', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == ""
