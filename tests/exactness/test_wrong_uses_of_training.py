"""Keys of training that are used wrongly are told with their place, and with what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from exact_configs import Config, config, feed, layer, layers, loader, loss, made, node, part, stage

from torchassistant import create_session
from torchassistant.errors import ConfigError
from torchassistant.session.preflight import preflight

NET = layers(layer("Linear", 4, 3), layer("BatchNorm1d", 3), layer("Linear", 3, 1))
SGD = {**made("SGD", lr=0.05), "model": "net"}
MEAN = {**made("MSELoss"), "inputs": ["y_hat", "y"]}
CHECK = {
    "input_factories": [feed("batches", "x y")],
    "losses": [loss("error", loss_display_name="val")],
}


def one(
    optimizer: Config | None = None,
    *stages: Config,
    fit: Config | None = None,
    of_node: Config | None = None,
    loaders: Config | None = None,
    models: Config | None = None,
    nodes: tuple[Config, ...] = (),
    optimizers: Config | None = None,
    losses: Config | None = None,
) -> Config:
    """A network that is trained, and validated."""
    run = {**node("net", "x", "y_hat", "sgd"), **(of_node or {})}
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"points": part("Points", 10), "others": part("Points", 8)},
        "loader_factories": {"batches": loader("points"), **(loaders or {})},
        "models": {"net": NET, **(models or {})},
        "optimizers": {"sgd": {**SGD, **(optimizer or {})}, **(optimizers or {})},
        "losses": {"error": MEAN, **(losses or {})},
        "batch_processors": {"run": {"neural_graph": [run, *nodes]}},
    }
    pipeline = {
        "input_factories": [feed("batches", "x y")],
        "losses": [loss("error")],
        **(fit or {}),
    }
    return config(groups, {"fit": pipeline, "check": CHECK}, *(stages or [validated()]))


def validated(**more: object) -> Config:
    return stage("fit", validation=["check"], **more)


def grouped(name: str) -> Config:
    return {"dataset": "points", "kwargs": {"batch_size": 4}, "shuffle_group": name}


AVERAGE = {"average_of": "net"}
PLATEAU = {**made("ReduceLROnPlateau"), "monitor": "val"}
EARLY = made("EarlyStopping", monitor="val")
SELDOM = {"every_epochs": None, "every_iterations": 4}
WITHIN = {"every_epochs": None, "at_start": True}

WRONG: dict[str, tuple[Config, str, str]] = {
    "a pattern that matches nothing": (
        one({"parameters": [{"match": "0.weigth", "kwargs": {"lr": 1}}]}),
        ".spec.parameters[0].match",
        '"0.weigth" matches nothing in "net"; did you mean "0.weight"',
    ),
    "a pattern of a stage that matches nothing": (
        one(None, validated(frozen=["net:7.*"])),
        "train.stages[0].frozen[0]",
        '"net:7.*" matches nothing in "net"; there are "0", "1", "2"',
    ),
    "a type that there is not": (
        one({"parameters": [{"types": ["Conv2d"]}]}),
        ".spec.parameters[0].types[0]",
        'no module of "net" is of type "Conv2d"; there are "BatchNorm1d", "Linear"',
    ),
    "a parameter in two optimizers": (
        one(
            models={"stem": {"part_of": "net", "path": "0"}},
            optimizers={"second": {**SGD, "model": "stem"}},
            nodes=(node("stem", "x", "h", "second"),),
        ),
        "train.stages[0].training_pipelines[0]",
        'the optimizers "sgd" and "second" of the pipeline "fit" both have "net:0.weight"',
    ),
    "all that is trained is frozen": (
        one(None, validated(), validated(frozen=["net"])),
        "train.stages[1].frozen",
        'all that the pipeline "fit" trains is frozen in this stage',
    ),
    "a tap that does not exist": (
        one(of_node={"taps": {"h": "3"}}),
        ".neural_graph[0].taps.h",
        'the model "net" has no module "3"; there are "0", "1", "2"',
    ),
    "a tap that is none": (
        one(of_node={"taps": {"h": "1@output"}}),
        ".neural_graph[0].taps.h",
        'expected a module such as "layer2", or its input, "layer2@input", found "1@output"',
    ),
    "a carry whose output no node makes": (
        one(of_node={"inputs": ["x", "h"], "carry": {"h": "next"}}),
        ".neural_graph[0].carry.h",
        'no node of this processor gives "next"; there is "y_hat"',
    ),
    "an average of an average": (
        one(models={"ema": AVERAGE, "slow": {"average_of": "ema"}}),
        ".spec.average_of",
        '"ema" is an average itself',
    ),
    "an average of itself": (
        one(models={"ema": {"average_of": "ema"}}),
        ".spec.average_of",
        "these definitions form a cycle",
    ),
    "an average that an optimizer trains": (
        one(
            models={"ema": AVERAGE},
            optimizers={"second": {**SGD, "model": "ema"}},
            nodes=(node("ema", "x", "h", "second"),),
        ),
        ".spec.model",
        'the model "ema" is an average, and nothing else changes it',
    ),
    "a monitor of a scheduler that is never there": (
        one({"lr_scheduler": PLATEAU}, validated(validate=WITHIN)),
        ".spec.lr_scheduler.monitor",
        '"val" is measured in validation only',
    ),
    "a monitor of a stop condition that is never there": (
        one(
            None,
            {
                **validated(validate={"every_epochs": None, "every_iterations": None}),
                "stop_condition": made("EarlyStopping", monitor="val"),
            },
        ),
        "train.stages[0].stop_condition.kwargs.monitor",
        '"val" is measured in validation only',
    ),
    "a monitor that is measured at the start only": (
        one(
            None,
            {
                **validated(validate=WITHIN),
                "stop_condition": made("EarlyStopping", monitor="val"),
            },
        ),
        "train.stages[0].stop_condition.kwargs.monitor",
        '"val" is measured in validation only',
    ),
    "a monitor that is measured after the last epoch": (
        one({"lr_scheduler": PLATEAU}, validated(epochs=2, validate={"every_epochs": 3})),
        ".spec.lr_scheduler.monitor",
        '"val" is measured in validation only',
    ),
    "a monitor that no end of an epoch tells of": (
        one({"lr_scheduler": PLATEAU}, validated(epochs=2, validate=SELDOM)),
        ".spec.lr_scheduler.monitor",
        '"val" is never measured at the end of an epoch with the "validate" of stage 1',
    ),
    "a monitor that a stage is too short for": (
        one(
            None,
            {
                **validated(validate={**SELDOM, "every_iterations": 20}),
                "stop_condition": made("AnyOf", EARLY, made("EpochsCompleted", 2)),
            },
        ),
        "train.stages[0].stop_condition",
        '"val" is never measured in the 6 iterations of this stage',
    ),
    "an optimizer of a model that nothing runs": (
        one({"model": ["net", "spare"]}, models={"spare": layers(layer("Linear", 2, 2))}),
        ".spec.model[1]",
        'no node that a training pipeline runs is of "spare"',
    ),
    "an optimizer of a loss that nothing computes": (
        one({"model": ["net", "losses.spare"]}, losses={"spare": MEAN}),
        ".spec.model[1]",
        'no training pipeline has the loss "spare"',
    ),
    "a gradient penalty of no model": (
        one(losses={"penalty": {**made("GradientPenalty"), "inputs": ["x", "x"]}}),
        ".spec",
        "GradientPenalty is called with one model, the critic",
    ),
    "a group of one loader": (
        one(loaders={"batches": grouped("noise")}),
        ".spec.shuffle_group",
        'no other loader factory is of the shuffle group "noise"',
    ),
    "a group that is misspelled": (
        one(loaders={"batches": grouped("noise"), "more": grouped("niose")}),
        ".spec.shuffle_group",
        'no other loader factory is of the shuffle group "niose"; did you mean "noise"?',
    ),
    "a reset of what there is not": (
        one(None, validated(), validated(reset=["schedulers.sgd"])),
        "train.stages[1].reset[0]",
        'nothing that can begin anew is named "schedulers.sgd"; there is "optimizers.sgd"',
    ),
    "another model for one that does not run": (
        one(models={"ema": AVERAGE}, fit={"models": {"nett": "ema"}}),
        "initialize.pipelines.fit.models.nett",
        'neither the graph nor a loss runs a model "nett"; did you mean "net"?',
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_use_is_told_once_with_its_place(tmp_path: Path, wrong: str) -> None:
    spec, path, message = WRONG[wrong]
    with pytest.raises(ConfigError) as caught:
        create_session(spec, session_dir=tmp_path / "run")
    (problem,) = caught.value.problems
    assert problem.place is not None
    assert problem.place.path.endswith(path)
    assert problem.message.startswith(message)


SPARE = {"spare": layers(layer("Linear", 2, 2))}
WARNED: dict[str, tuple[Config, str, str]] = {
    "a model of an optimizer is frozen throughout": (
        one(
            {"model": ["net", "spare"]},
            validated(frozen=["spare"]),
            models={"spare": layers(layer("Linear", 1, 1))},
            nodes=(node("spare", "y_hat", "again", "sgd"),),
        ),
        "train.stages[0].frozen",
        'the optimizer "sgd" is to train "spare", which is frozen in each stage in which it steps',
    ),
    "a frozen model that does not run": (
        one(None, validated(frozen=["net:0", "spare"]), models=SPARE),
        "train.stages[0].frozen[1]",
        "spare does not run in this stage, so that freezing it has no effect",
    ),
    "a turn that never comes": (
        one(None, stage("check", {"pipeline": "fit", "from": 9}, epoch_length="check")),
        "train.stages[0].training_pipelines[1]",
        'the turn of "fit" never comes: this stage has 6 iterations',
    ),
}


@pytest.mark.parametrize("warned", WARNED)
def test_what_is_probably_not_meant_is_a_warning(tmp_path: Path, warned: str) -> None:
    spec, path, message = WARNED[warned]
    session = create_session(spec, session_dir=tmp_path / "run", preflight=False)
    told = [(w.place.path, w.message) for w in preflight(session).warnings if w.place]
    assert (path, message) in told
