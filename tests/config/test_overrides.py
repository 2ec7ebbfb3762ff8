"""Values of a config that are set from the command line."""

from __future__ import annotations

import copy
import json
from pathlib import Path as FilePath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchassistant.config import read
from torchassistant.config.overrides import apply_overrides
from torchassistant.config.reader import read_file, read_text
from torchassistant.config.text import MAX_DEPTH
from torchassistant.config.tree import UNREADABLE, Path, Table, as_tree, place_of

TOP = ("session_dir", "seed", "device", "initialize", "train", "checkpoints", "variables")


def definition(group: str, name: str, **kwargs: Any) -> dict[str, Any]:
    return {"group": group, "name": name, "spec": {"kwargs": kwargs}}


CONFIG: dict[str, Any] = {
    "seed": 1,
    "initialize": {
        "definitions": [
            definition("optimizers", "optimizer", lr=0.1, betas=[0.9, 0.99]),
            definition("models", "my", x=1),
            definition("models", "my.net", x=2),
            definition("models", "net", x=3),
            definition("optimizers", "net", x=4),
            definition("models", "seed", x=5),
            definition("models", "optimizers", x=6),
            definition("losses", "twice", x=7),
            definition("losses", "twice", x=8),
            {"group": "models", "name": "empty"},
        ],
        "pipelines": {
            "training": {"losses": [{"weight": 1}]},
            "training.more": {"losses": [{"weight": 2}]},
            "optimizer": {},
        },
    },
    "train": {"stages": [{"stop_condition": {"kwargs": {"num_epochs": 1}}}]},
}
DEFINITIONS: Path = ("initialize", "definitions")
PIPELINES: Path = ("initialize", "pipelines")


def part(file: str) -> Any:
    return read_file(file).tree


def applied(source: Any, *settings: str) -> tuple[Any, list[str]]:
    """The tree with the settings, and the problems."""
    tree = as_tree(source)
    problems: list[str] = []

    def note(message: str, path: Path) -> None:
        assert path == ()
        problems.append(message)

    apply_overrides(tree, settings, note, TOP, lambda file: read_file(file).tree)
    return tree, problems


def at(tree: Any, path: Path) -> Any:
    for step in path:
        tree = tree[step]
    return tree


PATHS: list[tuple[str, Path]] = [
    ("seed", ("seed",)),
    ("device", ("device",)),
    ("train", ("train",)),
    (
        "train.stages[0].stop_condition.kwargs.num_epochs",
        ("train", "stages", 0, "stop_condition", "kwargs", "num_epochs"),
    ),
    ("train.stages[0]", ("train", "stages", 0)),
    ("train.stages[1]", ("train", "stages", 1)),
    ("train.stages[00]", ("train", "stages", 0)),
    ('["train"]["stages"][0].x', ("train", "stages", 0, "x")),
    ("checkpoints.a.b.c", ("checkpoints", "a", "b", "c")),
    ('variables["a.b[0]=\\"c"].d', ("variables", 'a.b[0]="c', "d")),
    ('variables[""]', ("variables", "")),
    ("variables. a-b ", ("variables", " a-b ")),
    ("initialize.pipelines.optimizer.x", (*PIPELINES, "optimizer", "x")),
    ("optimizer", (*DEFINITIONS, 0, "spec")),
    ("optimizer.kwargs.lr", (*DEFINITIONS, 0, "spec", "kwargs", "lr")),
    ("optimizer.kwargs.betas[1]", (*DEFINITIONS, 0, "spec", "kwargs", "betas", 1)),
    ("optimizer.kwargs.betas[2]", (*DEFINITIONS, 0, "spec", "kwargs", "betas", 2)),
    ("optimizer.a.b", (*DEFINITIONS, 0, "spec", "a", "b")),
    ("optimizers.optimizer.x", (*DEFINITIONS, 0, "spec", "x")),
    ("optimizers.net.kwargs.x", (*DEFINITIONS, 4, "spec", "kwargs", "x")),
    ("optimizers.kwargs.x", (*DEFINITIONS, 6, "spec", "kwargs", "x")),
    ("models.net.x", (*DEFINITIONS, 3, "spec", "x")),
    ("models.my.net.x", (*DEFINITIONS, 2, "spec", "x")),
    ("models.my.x", (*DEFINITIONS, 1, "spec", "x")),
    ("models.seed.x", (*DEFINITIONS, 5, "spec", "x")),
    ("my.kwargs.x", (*DEFINITIONS, 1, "spec", "kwargs", "x")),
    ("my.net.kwargs.x", (*DEFINITIONS, 2, "spec", "kwargs", "x")),
    ('["my.net"].kwargs.x', (*DEFINITIONS, 2, "spec", "kwargs", "x")),
    ('my["kwargs"].x', (*DEFINITIONS, 1, "spec", "kwargs", "x")),
    ("empty.kwargs.x", (*DEFINITIONS, 9, "spec", "kwargs", "x")),
    ("training.losses[0].weight", (*PIPELINES, "training", "losses", 0, "weight")),
    ("training.more.losses[0].weight", (*PIPELINES, "training.more", "losses", 0, "weight")),
    ("training.most", (*PIPELINES, "training", "most")),
]


@pytest.mark.parametrize(("text", "path"), PATHS)
def test_where_a_path_leads(text: str, path: Path) -> None:
    tree, problems = applied(CONFIG, f"{text}=42")
    assert problems == []
    assert at(tree, path) == 42
    assert str(place_of(tree, path)).startswith(f"--set {text}=42: {path[0]}")


VALUES: list[tuple[str, Any]] = [
    ("1", 1),
    ("-1.5e3", -1500.0),
    ("1.0", 1.0),
    ("true", True),
    ("null", None),
    ("cuda:0", "cuda:0"),
    ('"1"', "1"),
    ("", ""),
    (" a ", " a "),
    ("a=b=c", "a=b=c"),
    ("=", "="),
    ("NaN", "NaN"),
    ("-Infinity", "-Infinity"),
    ("1e999", "1e999"),
    ("True", "True"),
    ("01", "01"),
    ("9" * 5000, "9" * 5000),
    ("[adam, 1e-3, no]", ["adam", 0.001, "no"]),
    ("{class: Adam, kwargs: {lr: .5}}", {"class": "Adam", "kwargs": {"lr": 0.5}}),
    ("{a: &x [1], b: *x}", {"a": [1], "b": [1]}),
    ("- a", "- a"),
    ("a: b", "a: b"),
    ("@file", "@file"),  # it begins with no definition
    ("@@file", "@@file"),
    ('{"a": [1, {"b": null}]}', {"a": [1, {"b": None}]}),
    ("${lr}", "${lr}"),
]


@pytest.mark.parametrize(("text", "expected"), VALUES)
def test_what_a_value_is(text: str, expected: Any) -> None:
    tree, problems = applied(CONFIG, f"variables.x={text}")
    assert problems == []
    assert json.dumps(tree["variables"]["x"]) == json.dumps(expected)


REFUSED: list[tuple[str, str]] = [
    ("", "an override is written PATH=VALUE"),
    ("seed", "an override is written PATH=VALUE"),
    ('variables["a=1', 'the path cannot be read from "["a=1" on; keys are joined by dots'),
    ("=1", "the path begins with a key or a name"),
    ("[0]=1", "the path begins with a key or a name"),
    (".seed=1", 'the path cannot be read from ".seed=1" on'),
    ("train.=1", 'the path cannot be read from ".=1" on'),
    ("train..x=1", 'the path cannot be read from "..x=1" on'),
    ("train.[0]=1", 'the path cannot be read from ".[0]=1" on'),
    ("train[-1]=1", 'the path cannot be read from "[-1]=1" on'),
    ("train[x]=1", 'the path cannot be read from "[x]=1" on'),
    ("train[]=1", 'the path cannot be read from "[]=1" on'),
    ("train]=1", 'the path cannot be read from "]=1" on'),
    ("train[0]x=1", 'the path cannot be read from "x=1" on'),
    ("train[٣]=1", 'the path cannot be read from "[٣]=1" on'),
    (f"train[{'9' * 5000}]=1", 'the path cannot be read from "[9999999999999999999" on'),
    ('train["\\q"]=1', '"\\q": in this string: invalid \\escape'),
    ('train["\\ud800"]=1', '"\\ud800": this string holds half of a surrogate pair'),
    ("optimizr.kwargs.lr=1", 'no definition or pipeline is named "optimizr"; did you mean "optim'),
    ("trian.stages=1", 'no definition or pipeline is named "trian"; did you mean "train"?'),
    ("losses.twise.x=1", 'the group "losses" has no definition "twise"; did you mean "twice"?'),
    ("twice.x=1", '2 definitions are named "twice"'),
    ("losses.twice.x=1", '2 definitions are named "twice"'),
    (
        "net.kwargs.x=1",
        '"net" is defined in the groups "models", "optimizers"; '
        'put the group in front, as "models.net"',
    ),
    ("seed.x=1", "seed is a plain value, which has nothing inside it"),
    ("seed[0]=1", "seed is a plain value"),
    ("optimizer.kwargs.lr.x.y=1", "initialize.definitions[0].spec.kwargs.lr is a plain value"),
    ("train.stages.x=1", 'train.stages is a list, and has no key "x"; an item is written [0]'),
    ("train.stages[2]=1", "train.stages has no item [2]; it has 1, counted from 0"),
    ("train.stages[1].x=1", "train.stages has no item [1]; it has 1, counted from 0"),
    ("train[0]=1", "train is an object, and has no item [0]"),
    ("train.x[0]=1", "train.x is missing, and so has no item [0]"),
    ("train.x.y[0].z=1", "train.x.y is missing, and so has no item [0]"),
    ("seed=[1, 2", "the value is neither JSON nor YAML: a comma or a closing bracket was expected"),
    ("seed=[a-z]*", "the value is neither JSON nor YAML"),
    ('seed={"a": 1, "a": 2}', 'the value is neither JSON nor YAML: the key "a" is given twice'),
    ("seed={x: 012}", "the value is neither JSON nor YAML: not every reader of YAML takes 012"),
    ("seed=" + "[" * 5000, f"the value is neither JSON nor YAML: nested deeper than {MAX_DEPTH}"),
    ("seed=" + "[" * 102 + "]" * 102, "the value is neither JSON nor YAML: nested deeper"),
    ("variables" + ".a" * MAX_DEPTH + "=1", f"this nests deeper than {MAX_DEPTH} levels"),
    ("variables.a.b=" + "[" * 99 + "]" * 99, f"this nests deeper than {MAX_DEPTH} levels"),
]


@pytest.mark.parametrize(("setting", "message"), REFUSED)
def test_a_setting_that_cannot_be_applied_changes_nothing(setting: str, message: str) -> None:
    tree, (problem,) = applied(CONFIG, setting)
    assert problem.startswith(f"--set {setting}: {message}")
    assert tree == CONFIG


def test_bytes_that_are_no_text_are_told_as_text() -> None:
    tree, problems = applied(CONFIG, "seed=\udcff")
    assert problems == ["--set seed=?: this is not UTF-8 text"]
    assert tree == CONFIG


def test_a_config_that_is_no_object_is_told() -> None:
    assert applied([], "seed=1")[1] == [
        '--set seed=1: the config is a list, and has no key "seed"; an item is written [0]'
    ]
    assert applied(3, "seed=1", "a.b=1")[1] == [
        "--set seed=1: the config is a plain value, which has nothing inside it",
        '--set a.b=1: no definition or pipeline is named "a"; there are "checkpoints", "device", '
        '"initialize", "seed", "session_dir", "train", "variables"',
    ]


def test_what_the_reader_told_is_not_told_again() -> None:
    source = {"train": UNREADABLE}
    assert applied(source, "train.x=1") == (source, [])
    assert applied(source, "train=1") == ({"train": 1}, [])


def test_the_last_setting_wins_and_a_bad_one_stops_no_other() -> None:
    settings = ["seed=1", "sed=2", 'train={"x": {"y": 1}}', "train.x.y=2", "seed=3"]
    tree, (problem,) = applied(CONFIG, *settings)
    assert problem.startswith("--set sed=2: ")
    assert (tree["seed"], tree["train"]) == (3, {"x": {"y": 2}})
    assert str(place_of(tree, ("train", "x"))) == '--set train={"x": {"y": 1}}: train.x'
    assert str(place_of(tree, ("train", "x", "y"))) == "--set train.x.y=2: train.x.y"


def test_definitions_in_sections_are_found() -> None:
    items = CONFIG["initialize"]["definitions"]
    sections = {"data": items[1:], "computation": items[:1], "other": 3}
    tree, problems = applied({"initialize": {"definitions": sections}}, "optimizer.kwargs.lr=5")
    assert problems == []
    assert tree["initialize"]["definitions"]["computation"][0]["spec"]["kwargs"]["lr"] == 5


def test_what_is_set_stands_at_its_setting() -> None:
    tree = read_text('{"seed": 1,\n "train": {"stages": [1]}}', "c.json")
    setting = 'train.stages[0]={"a": [{"b": 1}]}'
    others = ["train.stages[1]=2", "device.x.y=cpu"]
    apply_overrides(tree, [setting, *others], lambda *_: pytest.fail(), TOP, part)
    place = place_of(tree, ("train", "stages", 0, "a", 0, "b"))
    assert str(place) == f"--set {setting}: train.stages[0].a[0].b"
    assert str(place_of(tree, ("train", "stages", 0, "a"), at_key=True)).startswith("--set train")
    assert str(place_of(tree, ("train", "stages", 1))) == "--set train.stages[1]=2: train.stages[1]"
    assert str(place_of(tree, ("device",), at_key=True)) == "--set device.x.y=cpu: device"
    assert str(place_of(tree, ("device", "x"))) == "--set device.x.y=cpu: device.x"
    assert str(place_of(tree, ("seed",))) == "c.json:1:10: seed"
    assert str(place_of(tree, ("train", "stages"))) == "c.json:2:22: train.stages"


# Whatever the tree and the settings are

words = st.sampled_from(["initialize", "definitions", "pipelines", "train", "a", "b", "a.b"])
names = words | st.sampled_from(["name", "group", "spec"])
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | words
)
any_tree = st.recursive(
    leaves | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=15,
)
spec = st.fixed_dictionaries({"name": words, "group": words | st.none(), "spec": any_tree})
config_like = st.fixed_dictionaries(
    {
        "initialize": st.fixed_dictionaries(
            {"definitions": st.lists(spec | any_tree, max_size=4) | any_tree}
        )
    }
)
near_paths = st.lists(names | st.sampled_from([".", ".", "[0]", "[1]", "=", "1", '["a"]'])).map(
    "".join
)


@given(any_tree | config_like, st.lists(st.text(max_size=10) | near_paths, max_size=5))
def test_no_setting_makes_it_raise(source: Any, settings: list[str]) -> None:
    before = copy.deepcopy(source)
    tree, problems = applied(source, *settings)
    assert source == before
    assert len(problems) <= len(settings)
    if len(problems) == len(settings):
        assert tree == source


def written(path: Path) -> str:
    """A path with every key in quotes."""
    return "".join(f"[{json.dumps(step)}]" for step in path)


def paths_of(tree: Any, path: Path = ()) -> list[Path]:
    """Every path at which something can be set: what is there, new keys, and ends of lists."""
    keys = [*tree, "new"] if isinstance(tree, dict) else []
    steps: list[Any] = [*range(len(tree) + 1)] if isinstance(tree, list) else keys
    found = [(*path, step) for step in steps]
    for step in steps[:-1]:
        found += paths_of(tree[step], (*path, step))
    return found


@given(st.data(), st.dictionaries(st.sampled_from(TOP), any_tree, min_size=1), any_tree)
def test_what_is_set_can_be_read_back(data: st.DataObject, source: Any, value: Any) -> None:
    path = data.draw(st.sampled_from([p for p in paths_of(source) if p[0] in TOP]))
    setting = f"{written(path)}={json.dumps(value)}"
    tree, problems = applied(source, setting)
    assert problems == []
    assert at(tree, path) == value
    assert str(place_of(tree, path)).startswith(f"--set {setting}: {path[0]}")
    assert all(place_of(tree, (*path, *inner)).line == 0 for inner in paths_of(value))
    rest = as_tree(source)
    missing = path[-1] == "new" or path[-1] == len(at(source, path[:-1]))
    for changed in (rest, tree):
        if not (missing and changed is rest):
            del at(changed, path[:-1])[path[-1]]
    assert tree == rest


@given(st.text(min_size=1), st.text(min_size=1), st.text(max_size=5))
def test_any_key_can_be_written_in_quotes(first: str, second: str, value: str) -> None:
    setting = f"variables{written((first, second))}={json.dumps(value)}"
    tree, problems = applied(Table(), setting)
    assert problems == []
    assert tree == {"variables": {first: {second: value}}}


# Parts in files


def test_a_definition_can_be_taken_from_a_file(
    tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    FilePath("part.yaml").write_text("class: SGD\nkwargs: {lr: 1}\n")
    FilePath("rate.json").write_text("0.5")
    tree, problems = applied(CONFIG, "optimizer=@part.yaml")
    assert problems == []
    assert at(tree, (*DEFINITIONS, 0, "spec")) == {"class": "SGD", "kwargs": {"lr": 1}}
    lr = (*DEFINITIONS, 0, "spec", "kwargs", "lr")
    assert str(place_of(tree, lr)).startswith("part.yaml:2:14: ")
    assert at(applied(CONFIG, "optimizer.kwargs.lr=@rate.json")[0], lr) == 0.5
    assert at(applied(CONFIG, 'optimizer.kwargs.lr="@rate.json"')[0], lr) == 0.5  # as of a sweep
    assert at(applied(CONFIG, "optimizer.kwargs.lr=@@rate.json")[0], lr) == "@rate.json"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("@", 'behind "@" stands the name of a file'),
        ("@none.yaml", "cannot read the file: No such file or directory (none.yaml)"),
        ("@.", "cannot read the file: Is a directory (.)"),
    ],
)
def test_a_part_that_is_not_there(
    tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch, value: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    tree, (problem,) = applied(CONFIG, f"optimizer={value}")
    assert problem.startswith(f"--set optimizer={value}: {message}")
    assert tree == CONFIG


def test_parts_are_read_as_configs_are(tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    FilePath("parts").mkdir()
    FilePath("parts/base.yaml").write_text("class: SGD\nkwargs: {lr: 1}\n")
    FilePath("parts/slow.yaml").write_text("$include: [base.yaml]\nkwargs: {lr: '${lr}'}\n")
    FilePath("parts/bad.yaml").write_text("class: SGD\nclass: Adam\nkwargs: {lr: 012}\n")
    config = {**CONFIG, "variables": {"lr": 0.25}}
    tree = read(config, ["optimizer=@parts/slow.yaml"]).tree
    spec = at(tree, (*DEFINITIONS, 0, "spec"))
    assert spec == {"class": "SGD", "kwargs": {"lr": 0.25}}
    found = [str(problem) for problem in read(config, ["optimizer=@parts/bad.yaml"]).problems]
    places = [text.partition(": ")[0] for text in found]
    assert places == ["parts/bad.yaml:2:1", "parts/bad.yaml:3:14"]
