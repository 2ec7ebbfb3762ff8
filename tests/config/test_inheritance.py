"""The key ``like``."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from small_config import CONFIG

from torchassistant.config import as_data, explain_path, read, read_training
from torchassistant.config.inheritance import MAX_INHERITED
from torchassistant.errors import ConfigError

Config = dict[str, Any]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def small(pipelines: Config, definitions: list[Config] | None = None, **more: Any) -> Config:
    """The small config with more in it."""
    config = copy.deepcopy(CONFIG)
    config["initialize"]["pipelines"] |= pipelines
    config["initialize"]["definitions"] += definitions or []
    return config | more


def spec_of(config: Any, *settings: str) -> Config:
    """What is stored of a config that is right."""
    diagnostics, spec = read_training(config, settings)
    diagnostics.raise_if_any()
    assert spec is not None
    return as_data(spec)


def told(config: Any, *settings: str) -> list[str]:
    """The problems of a config."""
    return [problem.message for problem in read_training(config, settings).diagnostics.in_order()]


OTHER = {"group": "loader_factories", "name": "others", "spec": {"dataset": "parts.val"}}
FIT = CONFIG["initialize"]["pipelines"]["fit"]
LIKE_FIT = {"like": "fit", "input_factories": [{"loader_factory": "others"}]}
WRITTEN_OUT = FIT | {
    "input_factories": [{**FIT["input_factories"][0], "loader_factory": "others"}],
}


def test_it_is_as_if_all_were_written() -> None:
    assert spec_of(small({"check": LIKE_FIT}, [OTHER])) == spec_of(
        small({"check": WRITTEN_OUT}, [OTHER])
    )


def test_what_is_said_comes_first_and_null_takes_away() -> None:
    like = LIKE_FIT | {"metrics": [], "gradient_accumulation": 3}
    base = {"fit": FIT | {"normalize_weights": True, "combine": {"class": "my.combine"}}}
    found = spec_of(small(base | {"check": like | {"combine": None}}, [OTHER]))
    check = found["initialize"]["pipelines"]["check"]
    assert check["gradient_accumulation"] == 3
    assert check["normalize_weights"] is True
    assert "combine" not in check
    assert "like" not in check


def test_ports_go_by_their_names() -> None:
    port = {"loader_factory": "batches", "variable_names": ["x"]}
    ports = [port | {"input_alias": one} for one in "ab"]
    base = {"fit": FIT | {"input_factories": ports}}
    like = {"like": "fit", "input_factories": [{"input_alias": "b", "loader_factory": "others"}]}
    tree = read(small(base | {"check": like}, [OTHER])).tree
    assert tree["initialize"]["pipelines"]["check"]["input_factories"] == [
        ports[0],
        ports[1] | {"loader_factory": "others"},
    ]


def test_a_port_that_is_fed_otherwise_keeps_no_columns() -> None:
    like = {"like": "fit", "input_factories": [{"from_pipeline": "fit"}]}
    tree = read(small({"check": like})).tree
    assert tree["initialize"]["pipelines"]["check"]["input_factories"] == [
        {"input_alias": "port", "from_pipeline": "fit"}
    ]


def test_definitions_and_stages_and_debug_pipelines() -> None:
    loader = {"group": "loader_factories", "name": "batches", "spec": {}}
    loader["spec"] = {"dataset": "training", "kwargs": {"batch_size": 8, "num_workers": 2}}
    definitions = [one for one in CONFIG["initialize"]["definitions"] if one["name"] != "batches"]
    like = {"group": "loader_factories", "name": "others", "like": "batches"}
    written = {"dataset": "parts.val", "kwargs": {"batch_size": 8, "num_workers": 1}}
    stage = CONFIG["train"]["stages"][0] | {"name": "first"}
    debug = {"input_factories": FIT["input_factories"], "graph": "graph", "interval": 5}

    def config(other: Config, second: Config, *looks: Config) -> Config:
        first = stage | {"debug_pipelines": ["look", looks[1]]}
        config = small({"check": LIKE_FIT}, session_dir="s", train={"stages": [first, second]})
        config["initialize"]["definitions"] = [*definitions, other, loader]
        config["initialize"]["debug_pipelines"] = {"look": debug, "other": looks[0]}
        return config

    short = config(
        like | {"spec": {"dataset": "parts.val", "kwargs": {"num_workers": 1}}},
        {"like": "first", "name": "second", "frozen": ["net"], "training_pipelines": ["check"]},
        {"like": "look", "interval": 9},
        {"like": "other", "num_iterations": 2},
    )
    long = config(
        {"group": "loader_factories", "name": "others", "spec": written},
        stage
        | {"name": "second", "frozen": ["net"], "training_pipelines": ["check"]}
        | {"debug_pipelines": ["look", debug | {"interval": 9, "num_iterations": 2}]},
        debug | {"interval": 9},
        debug | {"interval": 9, "num_iterations": 2},
    )
    assert read_training(short).spec == read_training(long).spec


def test_a_whole_spec_may_be_that_of_another() -> None:
    twin = {"group": "models", "name": "twin", "like": "net"}
    config = small({}, [twin])
    config["initialize"]["definitions"][-1] |= {}
    assert read(config).tree["initialize"]["definitions"][-1] == {
        "group": "models",
        "name": "twin",
        "spec": {"class": "pkg.Net"},
    }


def test_another_class_keeps_no_arguments() -> None:
    more = [{"group": "optimizers", "name": "sgd", "like": "adam", "spec": {"class": "SGD"}}]
    found = read(small({}, more)).tree["initialize"]["definitions"][-1]["spec"]
    assert found == {"class": "SGD", "model": "net"}


def test_chains() -> None:
    pipelines = {
        "third": {"like": "second", "normalize_weights": True},
        "second": LIKE_FIT | {"gradient_accumulation": 2},
    }
    found = spec_of(small(pipelines, [OTHER]))["initialize"]["pipelines"]["third"]
    assert found["gradient_accumulation"] == 2
    assert found["normalize_weights"] is True
    assert found["input_factories"][0]["loader_factory"] == "others"


def test_display_names_may_have_a_prefix() -> None:
    metric = {"group": "metrics", "name": "mae", "spec": {"class": "MeanAbsoluteError"}}
    metric["spec"] |= {"inputs": ["y_hat", "y"]}
    base = {"fit": FIT | {"metrics": [{"metric_name": "mae", "display_name": "error"}]}}
    pipelines = {
        "check": LIKE_FIT | {"display_prefix": "val "},
        "third": {"like": "check", "display_prefix": "test "},
        "fourth": {"like": "third", "losses": []},
    }
    found = spec_of(small(base | pipelines, [OTHER, metric]))["initialize"]["pipelines"]
    shown = {
        name: [
            *(loss["loss_display_name"] for loss in one["losses"]),
            *(metric["display_name"] for metric in one["metrics"]),
        ]
        for name, one in found.items()
    }
    assert shown == {
        "fit": ["mse", "error"],
        "check": ["val mse", "val error"],
        "third": ["test mse", "test error"],
        "fourth": ["test error"],
    }
    assert not any("display_prefix" in one for one in found.values())


def test_settings_and_variables() -> None:
    config = small({"check": LIKE_FIT}, [OTHER])
    settings = (
        "fit.losses[0].weight=2",
        "check.losses[0].loss_display_name=val loss",
        "check.gradient_accumulation=4",
    )
    pipelines = spec_of(config, *settings)["initialize"]["pipelines"]
    assert pipelines["fit"]["losses"][0]["weight"] == 2
    assert pipelines["fit"]["gradient_accumulation"] == 1
    check = pipelines["check"]
    assert check["losses"] == [pipelines["fit"]["losses"][0] | {"loss_display_name": "val loss"}]
    assert check["gradient_accumulation"] == 4
    other = small({"check": LIKE_FIT, "more": FIT | {"gradient_accumulation": 7}}, [OTHER])
    found = spec_of(other, "check.like=more")["initialize"]["pipelines"]["check"]
    assert found["gradient_accumulation"] == 7
    within = {"group": "losses", "name": "twin", "spec": {"like": "mse", "kwargs": {}}}
    found = read(small({}, [within]), ["twin.inputs[1]=z"]).tree["initialize"]["definitions"][-1]
    assert found["spec"] == {"class": "MSELoss", "inputs": ["y_hat", "z"], "kwargs": {}}
    assert "like" not in found
    (twice,) = read(small({}, [within | {"like": "mse"}])).problems
    assert twice.message == '"like" stands beside the spec too'
    named = small({"check": LIKE_FIT | {"like": "${base}"}}, [OTHER], variables={"base": "fit"})
    assert spec_of(named) == spec_of(config)
    more = [{"group": "models", "name": name, "spec": {"class": name}} for name in ("a.A", "b.B")]
    like = {"group": "models", "name": "twin", "like": "a.A"}
    tree = read(small({}, [*more, like]), ["twin.like=b.B"]).tree
    assert tree["initialize"]["definitions"][-1]["spec"] == {"class": "b.B"}


def test_mistakes() -> None:
    assert told(small({"check": {"like": "fti"}}))[:1] == [
        'no pipeline is named "fti"; did you mean "fit"?'
    ]
    assert told(small({"check": {"like": "nothing"}})) == [
        'no pipeline is named "nothing"; there is "fit"'
    ]
    assert told(small({"check": {"like": 5}})) == ["expected the name of a pipeline, found 5"]
    assert told(small({"check": {"like": "check"}})) == ["this is like itself: check → check"]
    assert told(small({"a": {"like": "b"}, "b": {"like": "a"}, "c": {"like": "a"}})) == [
        "this is like itself: a → b → a"
    ]
    assert told(small({"check": FIT | {"like": "fit"}})) == [
        'nothing is taken over from "fit", as all is said here; leave out "like", or what is to be '
        "taken over"
    ]
    assert told(small({"check": {"lke": "fit"}})) == ['unknown key "lke"; did you mean "like"?']


def test_definitions_are_like_those_of_their_group() -> None:
    twin = {"group": "models", "name": "twin", "like": "adam"}
    assert told(small({}, [twin])) == ['no model is named "adam"; there is "net"']
    # A group that is misspelt is told, and nothing else.
    assert told(small({}, [twin | {"group": "modls", "like": "net"}])) == [
        'unknown group "modls"; did you mean "models"?'
    ]


def test_a_mistake_that_is_taken_over_is_told_once() -> None:
    wrong = copy.deepcopy(FIT)
    wrong["losses"][0]["loss_name"] = "nothing"
    write = small({"fit": wrong, "check": LIKE_FIT}, [OTHER])
    Path("one.json").write_text(json.dumps(write, indent=1))
    (problem,) = read_training("one.json").diagnostics.in_order()
    assert "nothing" in problem.message
    assert problem.place.path == "initialize.pipelines.fit.losses[0].loss_name"


def test_what_is_taken_over_is_bounded() -> None:
    names = ["x" * 1000] * 100
    huge = FIT | {"input_factories": [{"loader_factory": "batches", "variable_names": names}]}
    many = {f"p{index}": {"like": "fit"} for index in range(1000)}
    found = told(small({"fit": huge, **many}))
    assert [one for one in found if "taken over" in one] == [
        f"what is taken over has more than {MAX_INHERITED:,} characters"
    ]


def test_an_included_file_may_be_changed_by_it() -> None:
    base = small({"check": FIT | {"gradient_accumulation": 3}}, [OTHER])
    Path("base.json").write_text(json.dumps(base))
    over = {"$include": ["base.json"], "initialize": {"pipelines": {"check": LIKE_FIT}}}
    Path("top.json").write_text(json.dumps(over))
    check = spec_of("top.json")["initialize"]["pipelines"]["check"]
    assert check["gradient_accumulation"] == 1  # as it is another now
    twin = [{"group": "models", "name": "net", "like": "twin"}]
    base = small({}, [{"group": "models", "name": "twin", "spec": {"class": "pkg.Twin"}}])
    Path("base.json").write_text(json.dumps(base))
    over = {"$include": ["base.json"], "initialize": {"definitions": twin}}
    Path("top.json").write_text(json.dumps(over))
    definitions = {d["name"]: d["spec"] for d in read("top.json").tree["initialize"]["definitions"]}
    assert definitions["net"] == {"class": "pkg.Twin"}


def test_who_set_it() -> None:
    Path("c.json").write_text(json.dumps(small({"check": LIKE_FIT}, [OTHER]), indent=1))
    (found,) = explain_path("c.json", "check.losses[0].loss_name").values
    fit = read("c.json").place_of(("initialize", "pipelines", "fit", "losses", 0, "loss_name"))
    assert [origin.how for origin in found.origins] == ["set", "like"]
    assert str(found.origins[0].place).startswith(f"c.json:{fit.line}:{fit.column}")
    assert 'as "check" is like "fit" at c.json:' in found.lines()[-1]
    (found,) = explain_path("c.json", "check.input_factories[0].loader_factory").values
    assert [origin.how for origin in found.origins] == ["set", "hidden"]
    (found,) = explain_path("c.json", "check.like").values
    assert found.value == "fit"
    with pytest.raises(ConfigError):
        explain_path("c.json", "fit.like")
