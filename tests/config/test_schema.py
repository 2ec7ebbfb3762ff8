"""The JSON Schema takes whatever the program takes, and marks misspelt arguments of built-ins."""

from __future__ import annotations

import copy
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from small_config import CONFIG

from torchassistant.assembly.signatures import misfits
from torchassistant.config.aliases import GROUP_ALIASES
from torchassistant.config.includes import INCLUDE
from torchassistant.config.reader import read_file
from torchassistant.config.tree import items_of, walk

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("examples", "torchassistant/projects", "tests/config")
CONFIGS = sorted(
    path
    for folder in FOLDERS
    for end in ("json", "yaml")
    for path in (ROOT / folder).rglob(f"*.{end}")
)
SCHEMA = json.loads((ROOT / "docs" / "config.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


@pytest.fixture(scope="module")
def script() -> Iterator[Any]:
    """docs/schema.py as a module."""
    docs = str(ROOT / "docs")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(docs)
        location = importlib.util.spec_from_file_location("schema", f"{docs}/schema.py")
        assert location is not None and location.loader is not None
        module = importlib.util.module_from_spec(location)
        location.loader.exec_module(module)
        yield module
        sys.modules.pop("schema_arguments", None)


def problems(tree: Any) -> set[str]:
    """Where the schema marks something, as deep as it can tell."""

    def deepest(error: Any) -> Iterator[str]:
        if not error.context:
            yield error.json_path
        for inner in error.context:
            yield from deepest(inner)

    return {path for error in VALIDATOR.iter_errors(tree) for path in deepest(error)}


def plain(path: Path) -> Any:
    return json.loads(json.dumps(read_file(path).tree))


def with_definition(group: str, spec: Any, name: str = "new") -> dict[str, Any]:
    config = copy.deepcopy(CONFIG)
    config["initialize"]["definitions"].append({"group": group, "name": name, "spec": spec})
    return config


def test_it_is_that_of_the_language(script: Any) -> None:
    if script.schema()["$comment"] != SCHEMA["$comment"]:
        pytest.skip("it has the arguments of other versions than the installed ones")
    for file in script.FILES:
        assert file.read_text(encoding="utf-8") == script.text(), "run: python docs/schema.py"
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


# What the program takes


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_it_takes_configs_of_every_kind(config: Path) -> None:
    tree = plain(config)
    assert problems(tree) == set()
    if "class" not in tree:
        tree["trian"], tree["device"] = 1, 7
        assert problems(tree) == {"$", "$.device"}


def test_it_takes_a_variable_in_the_place_of_any_value() -> None:
    more = {"seed": 1, "deterministic": True, "checkpoints": {"every_epochs": 1}}
    config = copy.deepcopy({**CONFIG, **more})
    for path, _ in [*walk(config)][1:]:
        changed = copy.deepcopy(config)
        holder = changed
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = "${variable}"
        assert problems(changed) == set(), path


def test_it_takes_parts_where_files_are_included() -> None:
    parts = {
        "initialize": {
            "definitions": [
                {"name": "adam", "spec": {"kwargs": {"lr": 1}}},
                {"name": "net", "group": "models", "spec": {"kwargs": {}}},
            ],
            "pipelines": {"fit": {"losses": [{"loss_name": "mse"}]}},
        },
        "train": {"stages": {"replace_strategy": "replace", "options": [{"name": "one"}]}},
    }
    assert problems({INCLUDE: ["base.json"], **parts}) == set()
    del parts["train"]["stages"]
    missing = {"$.initialize.definitions[0]", "$.initialize.pipelines.fit"}
    assert problems(parts) == missing


def test_it_takes_other_names_of_keys() -> None:
    config = copy.deepcopy(CONFIG)
    rows = config["initialize"]["definitions"]
    for row in rows:
        others = {ours: other for other, ours in GROUP_ALIASES.items()}
        row["group"] = others.get(row["group"], row["group"])
        if row["group"] == "batch_graphs":
            row["spec"]["input_ports"] = row["spec"].pop("input_aliases")
    fit = config["initialize"]["pipelines"]["fit"]
    fit["input_injector"] = fit.pop("input_factories")
    (item,) = fit["input_injector"]
    item["input_port"], item["data_loader"] = item.pop("input_alias"), item.pop("loader_factory")
    config["initialize"]["definitions"] = {"data": rows[:5], "computation": rows[5:]}
    assert problems(config) == set()


def test_what_is_like_another_needs_nothing_else() -> None:
    twin: dict[str, Any] = {"group": "models", "name": "twin", "like": "net"}
    tree = copy.deepcopy(CONFIG)
    tree["initialize"]["definitions"].append(twin)
    tree["initialize"]["pipelines"]["other"] = {"like": "fit"}
    tree["train"]["stages"].append({"like": "first", "frozen": ["net"]})
    assert problems(tree) == set()
    twin["spec"] = {"kwargs": {"width": 8}}
    assert problems(tree) == set()
    del twin["like"]
    twin["spec"] = 7
    del tree["initialize"]["pipelines"]["other"]["like"]
    assert problems(tree) == {"$.initialize.definitions[10].spec", "$.initialize.pipelines.other"}


def test_what_has_to_be_there_is_asked_for() -> None:
    config = copy.deepcopy(CONFIG)
    del config["initialize"]["definitions"][6]["spec"]["model"]
    del config["initialize"]["pipelines"]["fit"]["input_factories"]
    spec = "$.initialize.definitions[6].spec"
    assert problems(config) == {spec, "$.initialize.pipelines.fit"}


# Arguments of classes

SCORE = {"inputs": ["a", "b"]}
ARGUMENTS = [
    ("optimizers", {"class": "SGD", "model": "net", "kwargs": {"lr": 0.1, "momntum": 0.9}}),
    ("optimizers", {"class": "torch.optim.SGD", "model": "net", "kwargs": {"momntum": 0.9}}),
    (
        "optimizers",
        {"class": "Adam", "model": "net", "parameters": [{"match": "a", "kwargs": {"lrr": 1}}]},
    ),
    (
        "optimizers",
        {
            "class": "Adam",
            "model": "net",
            "lr_scheduler": {"class": "CosineAnnealingLR", "kwargs": {"T_max": "auto", "eta": 1}},
        },
    ),
    (
        "optimizers",
        {
            "class": "Adam",
            "model": "net",
            "lr_scheduler": {
                "class": "SequentialLR",
                "args": [[{"class": "LinearLR", "kwargs": {"total_itres": 5}}], [5]],
            },
        },
    ),
    ("losses", {"class": "CrossEntropyLoss", **SCORE, "kwargs": {"label_smothing": 0.1}}),
    ("losses", {"class": "CrossEntropyLoss", **SCORE, "kwargs": {"reduction": "avg"}}),
    ("losses", {"class": "CosineSimilarity", **SCORE, "kwargs": {"reduction": "sum"}}),
    ("losses", {"class": "MaskedCrossEntropy", **SCORE, "kwargs": {"weigth": None}}),
    ("metrics", {"class": "F1Score", **SCORE, "kwargs": {"task": "binary", "num_clases": 2}}),
    ("metrics", {"class": "CosineSimilarity", **SCORE, "kwargs": {"dim": 1}}),
    ("metrics", {"class": "Accuracy", **SCORE, "kwargs": {"taks": "binary"}}),
    ("callbacks", {"class": "Samples", "kwargs": {"pipline": "fit"}}),
    ("collators", {"class": "ColumnWise", "args": [[{"class": "Pad", "kwargs": {"vlaue": 0}}]]}),
    ("models", {"class": "torchvision.models.resnet18", "kwargs": {"num_clases": 2}}),
    ("models", {"class": "torchvision.models.resnet18", "kwargs": {"weights": "IMAGENET"}}),
    (
        "models",
        {
            "class": "torch.nn.Sequential",
            "args": [{"class": "torch.nn.Linear", "kwargs": {"in_faetures": 2}}],
        },
    ),
    (
        "datasets",
        {
            "class": "torchvision.datasets.MNIST",
            "kwargs": {
                "transform": {"class": "torchvision.transforms.v2.Resize", "kwargs": {"sise": 8}}
            },
        },
    ),
    ("loader_factories", {"dataset": "numbers", "kwargs": {"batch_sise": 8}}),
    ("loader_factories", {"dataset": "numbers", "kwargs": {"collate_fn": "my.f"}}),
]


@pytest.mark.parametrize(("group", "spec"), ARGUMENTS)
def test_a_misspelt_argument_is_marked(group: str, spec: dict[str, Any]) -> None:
    """In each it is the last, without which nothing is wrong."""
    at, *above = reversed([p for p, value in walk(spec) if not isinstance(value, (dict, list))])
    path = next(p for p in (at, *above) if "kwargs" in p)
    shown = "$.initialize.definitions[10].spec" + "".join(
        f".{step}" if isinstance(step, str) else f"[{step}]" for step in path
    )
    marked = problems(with_definition(group, spec))
    assert marked and all(shown.startswith(one) for one in marked if "kwargs" in one)
    assert any(one.endswith("kwargs") or one == shown for one in marked)
    right = copy.deepcopy(spec)
    holder = right
    for step in path[:-1]:
        holder = holder[step]
    del holder[path[-1]]
    assert problems(with_definition(group, right)) == set()


@pytest.mark.parametrize(
    "value",
    [
        {"constant": "my.rate"},
        {"attribute": "rate", "of": "models.net"},
        {"tensor": 0.1},
        {"$literal": 0.1},
        {"class": "my.Rate", "args": [1]},
        {"factory_fn": "my.rate"},
        "${rate}",
        0.1,
        1,
    ],
)
def test_every_form_of_an_argument_is_taken(value: Any) -> None:
    spec = {"class": "Adam", "model": "net", "kwargs": {"lr": value}}
    assert problems(with_definition("optimizers", spec)) == set()


@pytest.mark.parametrize("value", ["0.1", "fast", [0.1], {"a": 1}, None, True])
def test_a_value_of_another_type_is_marked(value: Any) -> None:
    spec = {"class": "Adam", "model": "net", "kwargs": {"lr": value}}
    marked = problems(with_definition("optimizers", spec))
    assert marked == {"$.initialize.definitions[10].spec.kwargs.lr"}


def test_classes_of_the_user_and_of_no_list_take_anything() -> None:
    for name in ("my.Net", "my_torch.optim.SGD", "torch.nn.modules.linear.Linear", "${class}"):
        spec = {"class": name, "args": list(range(50)), "kwargs": {"in_faetures": {"a": ["b"]}}}
        assert problems(with_definition("models", spec)) == set()


def test_names_are_those_that_check_takes(script: Any) -> None:
    named = script.named_in_configs()
    assert len(named.takes) > 800
    for name, takes in named.takes.items():
        target, by_name = named.found[name], takes["properties"]["kwargs"]

        def is_told(key: str, target: Any = target) -> bool:
            told = [misfit.message for misfit in misfits(target, (), (), {key: None})]
            return any(f'has no argument "{key}"' in message for message in told)

        assert not [key for key in by_name["properties"] if is_told(key)], name
        assert is_told("xyzzy") != by_name["additionalProperties"], name


def test_defaults_fit_their_types() -> None:
    for name, part in SCHEMA["$defs"].items():
        takes = part.get("properties", {}).get("kwargs", {}).get("properties", {})
        for key, argument in takes.items():
            if "default" in argument and name[0].islower():
                found = VALIDATOR.evolve(schema={**argument, "$defs": SCHEMA["$defs"]})
                assert found.is_valid(argument["default"]), f"{name}: {key}"


def test_classes_are_offered_where_they_fit() -> None:
    offered = {
        name: part["properties"]["class"].get("examples", [])
        for name, part in SCHEMA["$defs"].items()
        if "class" in part.get("properties", {})
    }
    assert "SGD" in offered["OptimizerSpec"] and "Optimizer" not in offered["OptimizerSpec"]
    assert {"MSELoss", "KLDistillation"} <= {*offered["LossSpec"]}
    assert "Linear" not in offered["LossSpec"]
    assert {"Accuracy", "F1Score"} <= {*offered["MetricSpec"]}
    stop = SCHEMA["$defs"]["StageSpec"]["properties"]["stop_condition"]
    assert "EarlyStopping" in stop["properties"]["class"]["examples"]
    assert all(isinstance(step, str) for step, _ in items_of(offered))
