"""Files that are laid under a config."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from small_config import CONFIG

from torchassistant.config import read, read_training
from torchassistant.config.includes import MOST_FILES
from torchassistant.config.spec import EvaluationSpec, SweepSpec
from torchassistant.errors import ConfigError

Files = dict[str, Any]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TORCHASSISTANT_TRUST", raising=False)
    return tmp_path


def write(files: Files) -> None:
    for name, content in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(content if isinstance(content, str) else json.dumps(content))


def told(files: Files, *settings: str, trust: tuple[str, ...] = ()) -> list[str]:
    """The problems of ``top.json``, as far as reading finds them."""
    write(files)
    return [str(problem) for problem in read("top.json", settings, trust=trust).problems]


def test_a_later_file_wins_and_this_one_over_all() -> None:
    write(
        {
            "one.yaml": "seed: 1\ndevice: cpu\ncheckpoints: {keep: 2, every_epochs: 1}\n",
            "parts/two.json": {"$include": ["three.yml"], "seed": 2, "checkpoints": {"keep": 3}},
            "parts/three.yml": "seed: 3\nprecision: tf32\n",
            "top.json": {"$include": ["one.yaml", "parts/two.json"], "device": "auto"},
        }
    )
    found = read("top.json")
    assert found.problems == []
    assert found.tree == {
        "seed": 2,
        "device": "auto",
        "checkpoints": {"keep": 3, "every_epochs": 1},
        "precision": "tf32",
    }
    assert found.files == {"top.json", "one.yaml", "parts/two.json", "parts/three.yml"}
    assert str(found.place_of(("seed",))) == "parts/two.json:1:37: seed"
    assert str(found.place_of(("precision",))) == "parts/three.yml:2:12: precision"


def test_a_config_of_two_files_is_that_of_one() -> None:
    base = json.loads(json.dumps(CONFIG))
    optimizer = next(
        one for one in base["initialize"]["definitions"] if one["group"] == "optimizers"
    )
    rest = {
        "$include": ["base.json"],
        "initialize": {
            "definitions": [
                {"name": optimizer["name"], "spec": {"kwargs": optimizer["spec"].pop("kwargs")}}
            ]
        },
        "train": base.pop("train"),
    }
    write({"base.json": base, "top.json": rest, "whole.json": CONFIG})
    split, whole = read_training("top.json"), read_training("whole.json")
    assert split.diagnostics.problems == whole.diagnostics.problems == []
    assert split.spec == whole.spec


def test_variables_of_an_included_file_can_be_overridden() -> None:
    write(
        {
            "base.yaml": "variables: {folder: sessions, name: a}\nsession_dir: ${folder}/${name}\n",
            "top.json": {"$include": ["base.yaml"], "variables": {"name": "b"}},
        }
    )
    assert read("top.json").tree == {"session_dir": "sessions/b"}
    assert read("top.json", ["variables.folder=runs"]).tree == {"session_dir": "runs/b"}


BASE = {
    "initialize": {
        "definitions": [
            {"group": "models", "name": "net", "spec": {"class": "my.Net", "kwargs": {"w": 1}}},
            {"group": "losses", "name": "net", "spec": {"class": "MSELoss", "inputs": ["a", "b"]}},
        ],
        "pipelines": {"training": {"input_factories": [], "losses": []}},
    },
    "train": {"stages": [{"name": "first", "training_pipelines": ["training"]}]},
}


@pytest.mark.parametrize(
    ("over", "message"),
    [
        (
            {"initialize": {"definitions": [{"name": "nett", "spec": {"kwargs": {"w": 2}}}]}},
            'initialize.definitions[0]: "nett" is not there to be changed, and this is not a whole '
            'definition; did you mean "net"?',
        ),
        (
            {"initialize": {"definitions": [{"group": "models", "name": "n2", "spec": {}}]}},
            'initialize.definitions[0]: "n2" is not there to be changed',
        ),
        (
            {"initialize": {"pipelines": {"trainign": {"losses": []}}}},
            'initialize.pipelines.trainign: the pipeline "trainign" is not there to be changed, '
            'and this is not a pipeline; did you mean "training"?',
        ),
        (
            {"train": {"stages": [{"name": "first"}, {"training_pipelines": ["training"]}]}},
            'train.stages: only some items of this list have a "name", so it cannot be merged',
        ),
        (
            {
                "train": {
                    "stages": {
                        "replace_strategy": "override",
                        "override_key": ["name"],
                        "options": [{"name": "first"}, {"name": "frist"}],
                    }
                }
            },
            None,
        ),
        (
            {"train": {"stages": {"override_key": ["group"], "options": [{"group": "x", "y": 1}]}}},
            'train.stages.options[0]: nothing has the group "x", to be overridden',
        ),
        (
            {"initialize": {"definitions": [{"name": "net", "spec": {"args": []}}]}},
            "several things have name 'net'; say which by its group",
        ),
    ],
)
def test_what_hits_nothing_is_a_problem(over: Any, message: str | None) -> None:
    found = told({"base.json": BASE, "top.json": {"$include": ["base.json"], **over}})
    if message is None:
        assert found == []
    else:
        (problem,) = found
        assert message in problem and problem.startswith("top.json:1:")


def test_new_names_with_a_whole_spec_are_added() -> None:
    new = {"group": "models", "name": "second", "spec": {"class": "my.Other"}}
    over = {
        "initialize": {
            "definitions": [new, {"group": "models", "name": "net", "spec": {"kwargs": {"w": 2}}}],
            "pipelines": {"more": {"input_factories": []}},
        }
    }
    assert told({"base.json": BASE, "top.json": {"$include": ["base.json"], **over}}) == []
    tree = read("top.json").tree["initialize"]
    assert [one["name"] for one in tree["definitions"]] == ["net", "net", "second"]
    assert tree["definitions"][0]["spec"] == {"class": "my.Net", "kwargs": {"w": 2}}
    assert list(tree["pipelines"]) == ["training", "more"]


def test_both_vocabularies_can_be_mixed() -> None:
    later = {
        "initialize": {
            "definitions": {
                "data": [{"group": "data_loaders", "name": "l", "spec": {"dataset": "d"}}],
                "computation": [{"group": "models", "name": "m", "spec": {"class": "my.M"}}],
            }
        }
    }
    ours = [{"group": "loader_factories", "name": "l", "spec": {"kwargs": {"batch_size": 2}}}]
    top = {"$include": ["base.json"], "initialize": {"definitions": ours}}
    assert told({"base.json": later, "top.json": top}) == []
    loader = read("top.json").tree["initialize"]["definitions"][0]
    assert loader["spec"] == {"dataset": "d", "kwargs": {"batch_size": 2}}


# Files


def test_circles_are_problems() -> None:
    files: Files = {
        "top.json": {"$include": ["parts/a.json"]},
        "parts/a.json": {"$include": ["../b.yaml"]},
        "b.yaml": "$include: [parts/a.json]\n",
    }
    assert told(files) == [
        "b.yaml:1:12: $include[0]: this includes itself: parts/a.json → b.yaml → parts/a.json"
    ]
    assert told({"top.json": {"$include": ["./top.json"]}}) == [
        "top.json:1:15: $include[0]: this includes itself: top.json → top.json"
    ]


def test_a_file_may_be_included_twice_but_not_without_end() -> None:
    files: Files = {"0.json": {"seed": 1}, "top.json": {"$include": ["20.json"]}}
    files |= {f"{n}.json": {"$include": [f"{n - 1}.json"] * 2} for n in range(1, 21)}
    assert told({**files, "top.json": {"$include": ["3.json"]}}) == []
    (problem,) = told(files)
    assert f"more than {MOST_FILES} files are included" in problem


@pytest.mark.parametrize("link", [False, True])
def test_what_is_outside_of_the_folder_needs_consent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: bool
) -> None:
    write({"shared/base.json": {"seed": 1}, "mine/top.json": {"$include": ["../shared/base.json"]}})
    if link:
        Path("mine/linked.json").symlink_to(tmp_path / "shared" / "base.json")
        write({"mine/top.json": {"$include": ["linked.json"]}})
    (problem,) = read("mine/top.json").problems
    assert problem.message == (
        f"{tmp_path / 'shared' / 'base.json'} is outside of the folder of the config; "
        "--trust ./shared allows to include what is there"
    ).replace(f"{tmp_path}{os.sep}", "")
    assert read("mine/top.json", trust=["./shared"]).tree == {"seed": 1}
    assert read("mine/top.json", trust=[str(tmp_path / "shared")]).problems == []
    assert read("mine/top.json", trust=["shared"]).problems  # that is a module
    monkeypatch.chdir("mine")
    assert "--trust ../shared allows" in read("top.json").problems[0].message
    monkeypatch.setenv("TORCHASSISTANT_TRUST", "sklearn,..")
    assert read("top.json").tree == {"seed": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"$include": "base.json"}, "top.json:1:14: $include: expected a list of files"),
        ({"$include": [3]}, "top.json:1:15: $include[0]: expected the name of a file"),
        ({"$include": ["a\0"]}, "top.json:1:15: $include[0]: expected the name of a file"),
        ({"$include": ["bsae.json"]}, 'No such file or directory; did you mean "base.json"?'),
        ({"$include": ["list.json"]}, "$include[0]: list.json holds no object of keys and values"),
        ({"$include": ["."]}, "top.json:1:15: $include[0]: cannot read the file: Is a directory"),
        ({"$include": ["wrong.yaml"]}, 'wrong.yaml:2:1: the key "seed" is given twice'),
        ({"$include": ["bytes.json"]}, "bytes.json:1:1: this byte is not UTF-8 text"),
    ],
)
def test_files_that_cannot_be_included(content: Any, message: str) -> None:
    Path("bytes.json").write_bytes(b"\xff")
    files = {"base.json": {}, "list.json": [1], "wrong.yaml": "seed: 1\nseed: 2\n"}
    (problem,) = told({**files, "top.json": content})
    assert message in problem


def test_settings_come_last_and_do_not_include() -> None:
    files: Files = {"base.json": BASE, "top.json": {"$include": ["base.json"], "seed": 1}}
    assert told(files, "models.net.kwargs.w=5", "seed=2") == []
    tree = read("top.json", ["models.net.kwargs.w=5", "seed=2"]).tree
    assert tree["seed"] == 2
    assert tree["initialize"]["definitions"][0]["spec"]["kwargs"] == {"w": 5}
    (problem,) = told(files, '$include=["other.json"]')
    assert 'no definition or pipeline is named "$include"' in problem


def test_every_kind_of_config_can_include() -> None:
    write({"base.yaml": "session_dir: sessions/a\n", "evaluate.json": {"$include": ["base.yaml"]}})
    assert read("evaluate.json", block=EvaluationSpec).tree == {"session_dir": "sessions/a"}
    write({"how.yaml": "sampler: grid\n", "sweep.yaml": "$include: [how.yaml]\nmode: min\n"})
    found = read("sweep.yaml", block=SweepSpec, variables=False)
    assert found.tree == {"sampler": "grid", "mode": "min"}


def test_data_of_python_includes_from_the_working_directory() -> None:
    write({"base.json": {"seed": 1}})
    assert read({"$include": ["base.json"], "device": "cpu"}).tree == {"seed": 1, "device": "cpu"}
    with pytest.raises(ConfigError, match="cannot read the file"):
        read({"$include": ["none.json"]}).raise_if_any()
