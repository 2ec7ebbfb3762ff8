"""Evaluators of stages: called like a loop written by hand would call them, without a trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from evaluator_parts import Accuracy, Restless
from exact_configs import (
    Config,
    Twin,
    batches_of,
    feed,
    layer,
    layers,
    loader,
    loss,
    made,
    one_model,
    part,
    stage,
    weights,
)
from exact_parts import Classes, Points
from exact_runs import Runs, assert_same_bits
from torch.nn.functional import cross_entropy, mse_loss

from torchassistant import create_session, load_session
from torchassistant.errors import ConfigError, DataError, UserCodeError, UserError
from torchassistant.session import Session, evaluate_config
from torchassistant.training import StageEvaluator, StopRequest

HERE = "evaluator_parts"
AVERAGE = {"average_of": "net", "decay": 0.5}
NORMED = layers(layer("Linear", 4, 6), layer("BatchNorm1d", 6), layer("Linear", 6, 1))


def evaluated(
    name: str, *args: Any, epochs: int = 2, also: Config | None = None, **entry: Any
) -> Config:
    """Regression whose stage calls an evaluator ``ours`` over the batches of training."""
    entry = {"evaluator": "ours", "loader_factory": "batches", **entry}
    groups = {"evaluators": {"ours": made(f"{HERE}.{name}", *args)}, **(also or {})}
    return one_model(groups, stage("fit", epochs=epochs, evaluators=[entry]))


def rows(session: Session, column: str) -> list[Any]:
    return session.history[column].tolist()


def test_the_evaluation_function_of_a_guide_is_expressible(tmp_path: Path) -> None:
    """``eval_freq`` is ``every_epochs``; ``eval_key`` is a monitor."""
    groups: dict[str, Any] = {
        "datasets": {"points": part("Classes", 10)},
        "models": {"net": layers(layer("Linear", 4, 3))},
        "losses": {"error": {**made("CrossEntropyLoss"), "inputs": ["y_hat", "y"]}},
        "loader_factories": {"checking": loader("points", 3)},
        "evaluators": {"eval": made(f"{HERE}.Accuracy")},
    }
    entry = {
        "evaluator": "eval",
        "models": {"model": "net"},
        "loader_factory": "checking",
        "every_epochs": 2,
    }
    config = one_model(groups, stage("fit", epochs=4, evaluators=[entry]))
    config["checkpoints"] = {"best": {"monitor": "eval/accuracy", "mode": "max"}}
    twin = Twin(config, tmp_path)
    net = twin.models["net"]
    descent = torch.optim.SGD(net.parameters(), lr=0.05)
    measured = []
    for epoch in range(4):
        for x, y in batches_of(Classes(10)):
            descent.zero_grad()
            cross_entropy(net(x), y).backward()
            descent.step()
        if epoch % 2:
            checking = batches_of(Classes(10), 3)
            measured.append(Accuracy()({"model": net}, checking)["accuracy"])
    twin.check()
    history = twin.session.history
    assert history["eval/accuracy"].dropna().tolist() == measured
    assert history["eval/accuracy"].isna().tolist() == [True, False, True, False]
    text = (twin.session.path / "metrics" / "0.csv").read_text().splitlines()
    assert text[0] == "epoch,step,error,eval/accuracy,seconds"
    assert text[1].split(",")[3] == ""


def test_what_it_gives_is_what_a_plain_loop_gives(tmp_path: Path) -> None:
    twin = Twin(evaluated("error"), tmp_path)
    net, measured = twin.models["net"], []
    descent = torch.optim.SGD(net.parameters(), lr=0.05)
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            descent.zero_grad()
            mse_loss(net(x), y).backward()
            descent.step()
        with torch.no_grad():
            losses = [mse_loss(net(x), y) for x, y in batches_of(Points(10))]
        measured.append(float(torch.stack(losses).mean()))
    twin.check()
    assert rows(twin.session, "ours/mean") == measured
    assert rows(twin.session, "ours/batches") == [3, 3]
    assert rows(twin.session, "ours/is_net") == [1, 1]


def test_it_is_called_in_the_precision_of_the_run(tmp_path: Path) -> None:
    """As validation is; it may compute in another."""
    config = {**evaluated("rounded", epochs=1), "precision": "bf16"}
    session = create_session(config, session_dir=tmp_path / "session")
    session.train()
    net = session.models["net"].eval()
    with torch.no_grad():
        whole = [mse_loss(net(x), y) for x, y in batches_of(Points(10))]
        with torch.autocast("cpu", torch.bfloat16):
            lossy = [mse_loss(net(x).float(), y) for x, y in batches_of(Points(10))]
    assert rows(session, "ours/whole") == [float(torch.stack(whole).mean())]
    assert rows(session, "ours/lossy") == [float(torch.stack(lossy).mean())]
    assert rows(session, "ours/lossy") != rows(session, "ours/whole")
    assert session.evaluate() == {
        **session.evaluate(),
        "ours/lossy": rows(session, "ours/lossy")[0],
    }


@pytest.mark.parametrize("data", [part("Points", 10), made(f"{HERE}.Flow", 10)])
def test_validation_within_epochs_leaves_its_cells_empty(tmp_path: Path, data: Config) -> None:
    """Over a stream too; it is called at the end of each epoch, and a cut in between resumes."""
    config = evaluated("Restless")
    definitions = config["initialize"]["definitions"]
    factory = {"group": "loader_factories", "name": "flow", "spec": loader("data", 4)}
    definitions.extend([{"group": "datasets", "name": "data", "spec": data}, factory])
    config["train"]["stages"][0]["evaluators"][0]["loader_factory"] = "flow"
    config["initialize"]["pipelines"]["check"] = {
        "input_factories": [feed("batches", "x y")],
        "losses": [loss("error", loss_display_name="val")],
    }
    config["train"]["stages"][0] |= {
        "validation_pipelines": ["check"],
        "validate": {"every_iterations": 2},
    }
    runs = Runs(config, tmp_path)
    history = load_session(runs.plain).history
    at_end = history["step"].isin([3, 6]).tolist()
    assert at_end == [False, True, False, True]
    assert history["val"].notna().all()
    assert history["ours/total"].notna().tolist() == at_end
    assert history["ours/calls"].dropna().diff().dropna().tolist() == [1.0]
    runs.check_cuts()


def test_training_is_as_if_it_was_not_called(tmp_path: Path) -> None:
    """Whatever it draws, and whatever gradients, buffers and modes it leaves behind."""
    net = {"models": {"net": NORMED}}
    restless = evaluated("Restless", also=net)
    plain = one_model(net, stage("fit"))
    sessions = []
    for name, config in (("restless", restless), ("plain", plain)):
        session = create_session(config, session_dir=tmp_path / name)
        session.train()
        sessions.append(session)
    one, other = (weights(session.models)["net"] for session in sessions)
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert rows(sessions[0], "ours/calls") == [1, 2]
    drawn = rows(sessions[0], "ours/drawn")
    assert drawn[0] == drawn[1]  # seeded each time, its own generator too


def test_a_cut_anywhere_resumes_to_the_bit_with_its_state(tmp_path: Path) -> None:
    runs = Runs(evaluated("Restless"), tmp_path)
    runs.check_cuts([1, 3, 4])
    runs.check_cuts_in_validation(3)


def test_another_model_may_stand_for_a_name_and_an_average_is_brought_up_to_date(
    tmp_path: Path,
) -> None:
    also = {"models": {"net": NORMED, "net_ema": {**AVERAGE, "use_buffers": False}}}
    config = evaluated("error", models={"model": "net_ema"}, also=also)
    session = create_session(config, session_dir=tmp_path / "session")
    session.train()
    assert rows(session, "ours/is_net") == [0, 0]
    net = session.models["net_ema"]
    net.eval()
    with torch.no_grad():
        losses = [mse_loss(net(x), y) for x, y in batches_of(Points(10))]
    assert rows(session, "ours/mean")[-1] == float(torch.stack(losses).mean())


def test_its_columns_can_be_listened_to(tmp_path: Path) -> None:
    """By a stop condition, a plateau scheduler, and the best checkpoints."""
    config = evaluated("error", epochs=9)
    (only,) = config["train"]["stages"]
    only["stop_condition"] = made("EarlyStopping", "ours/mean", patience=2, min_delta=100.0)
    descent = next(d for d in config["initialize"]["definitions"] if d["name"] == "descent")
    descent["spec"]["lr_scheduler"] = {
        **made("ReduceLROnPlateau", patience=0, threshold=100.0),
        "monitor": "ours/mean",
    }
    config["checkpoints"] = {"best": {"monitor": "ours/mean"}}
    session = create_session(config, session_dir=tmp_path / "session")
    session.train()
    assert session.progress.epoch < 9
    assert session.optimizers["descent"].param_groups[0]["lr"] < 0.05
    load_session(session.path)


def test_without_data_it_gets_none(tmp_path: Path) -> None:
    config = evaluated("count")
    del config["train"]["stages"][0]["evaluators"][0]["loader_factory"]
    config["train"]["stages"][0]["evaluators"][0]["on"] = "first"
    session = create_session(config, session_dir=tmp_path / "session")
    session.train()
    assert rows(session, "ours/models") == [1, 1]


def test_evaluate_calls_those_of_the_last_stage_or_those_of_its_config(tmp_path: Path) -> None:
    config = evaluated("Restless")
    session = create_session(config, session_dir=tmp_path / "session")
    session.train()
    last = session.history.iloc[-1]
    results = evaluate_config(session.path)
    assert results["ours/total"] == last["ours/total"]
    assert results == evaluate_config(session.path)  # its state is as it was
    source = tmp_path / "evaluation.json"
    source.write_text(
        json.dumps(
            {
                "session_dir": str(session.path),
                "initialize": {
                    "definitions": [
                        {
                            "group": "evaluators",
                            "name": "another",
                            "spec": made(f"{HERE}.error"),
                        }
                    ]
                },
                "evaluators": [{"evaluator": "another", "loader_factory": "batches"}],
            }
        )
    )
    assert list(evaluate_config(source)) == ["another/mean", "another/batches", "another/is_net"]
    text = source.read_text().replace('"evaluator": "another"', '"evaluator": "anothr"')
    source.write_text(text)
    with pytest.raises(ConfigError, match=r'no evaluator is named "anothr".*"another"'):
        evaluate_config(source)
    live = load_session(session.path)
    assert live.evaluate() == results
    assert live.evaluate() == results


@pytest.mark.parametrize(
    ("then", "message"),
    [
        ({"a": 1.0, "b": 2.0}, 'the evaluator "ours" gives "b"'),
        ({}, 'the evaluator "ours" gives no "a"'),
    ],
)
def test_a_later_key_or_a_missing_one_is_an_error(
    tmp_path: Path, then: dict[str, float], message: str
) -> None:
    config = evaluated("Fickle", {"a": 1.0}, then)
    session = create_session(config, session_dir=tmp_path / "session", preflight=False)
    (entry,) = session.stages[0].evaluators
    entry.function.calls = 0
    entry.keys = ("a",)
    entry.function.calls = 1
    with pytest.raises(DataError, match=message):
        session.train()


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("gives_text", UserError, 'the evaluator "ours" must give numbers; found str for "score"'),
        ("gives_number", UserError, "must give a dict of numbers; found float"),
        ("gives_named_by_numbers", UserError, "must give numbers by names; found the key 1"),
        ("raises", UserCodeError, 'the evaluator "ours"'),
        ("Twice", ConfigError, "name a key twice"),
    ],
)
def test_what_is_wrong_with_it_is_told_with_its_name(
    tmp_path: Path, name: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        create_session(evaluated(name), session_dir=tmp_path / "session")
    if name == "Twice":
        return
    session = create_session(evaluated(name), session_dir=tmp_path / "other", preflight=False)
    with pytest.raises(kind, match=message):
        session.train()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"evaluator": "our"}, 'no evaluator is named "our"; did you mean "ours"'),
        ({"loader_factory": "batch"}, 'no loader factory is named "batch"'),
        ({"models": {"model": "nett"}}, 'no model is named "nett"; did you mean "net"'),
        ({"models": {}}, "models"),
        ({"every_epochs": 0}, "every_epochs"),
        ({"on": "last"}, "first"),
        ({"loader": "batches"}, "loader"),
    ],
)
def test_wrong_entries_are_problems(tmp_path: Path, entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create_session(evaluated("error", **entry), session_dir=tmp_path / "session")


def test_columns_are_those_of_one_evaluator(tmp_path: Path) -> None:
    config = evaluated("error")
    (only,) = config["train"]["stages"]
    only["evaluators"] *= 2
    with pytest.raises(ConfigError, match='"ours" is called twice in this stage'):
        create_session(config, session_dir=tmp_path / "session")
    config = evaluated("error")
    config["initialize"]["pipelines"]["check"] = {
        "input_factories": [feed("batches", "x y")],
        "losses": [loss("error", loss_display_name="ours")],
    }
    config["train"]["stages"][0]["validation_pipelines"] = ["check"]
    with pytest.raises(ConfigError, match='"ours" is shown by the pipeline "check" too'):
        create_session(config, session_dir=tmp_path / "session")


@pytest.mark.parametrize("preflight", [True, False])
def test_a_key_that_is_not_given_cannot_be_monitored(tmp_path: Path, preflight: bool) -> None:
    config = evaluated("error")
    config["checkpoints"] = {"best": {"monitor": "ours/mead"}}
    with pytest.raises(UserError, match='"ours/mead"; did you mean "ours/mean"'):
        create_session(config, session_dir=tmp_path / "session", preflight=preflight).train()
    config["checkpoints"] = {"best": {"monitor": "ours"}}
    with pytest.raises(ConfigError, match='no row of any stage has "ours"'):
        create_session(config, session_dir=tmp_path / "other")


def test_what_may_be_changed_in_a_session(tmp_path: Path) -> None:
    session = create_session(evaluated("error"), session_dir=tmp_path / "session")
    other = ["train.stages[0].evaluators[0].every_epochs=2"]
    changed = load_session(session.path, settings=other)
    changed.train()
    assert changed.history["ours/mean"].isna().tolist() == [True, False]


def test_workers_and_several_passes_give_the_same(tmp_path: Path) -> None:
    """Batches as the collator made them, in evaluation's order, in each pass anew."""
    config = evaluated("error")
    session = create_session(config, session_dir=tmp_path / "session", preflight=False)
    seen: list[list[torch.Tensor]] = []

    def look(models: Any, data: Any) -> dict[str, float]:
        first = iter(data)
        next(first)  # left in the middle
        seen.extend([[x for x, _ in data], [x for x, _ in data]])
        return {"length": len(data), "examples": len(data.dataset)}

    for workers in (0, 1):
        factory = session.loader_factories["batches"]
        factory.kwargs |= {"num_workers": workers, "shuffle": True}
        evaluator = StageEvaluator("look", look, session.models, factory, 5)
        assert evaluator.run(StopRequest()) == {"look/length": 3.0, "look/examples": 10.0}
    expected = [x for x, _ in batches_of(Points(10))]
    for found in seen:
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_a_session_reads_back_as_it_was(tmp_path: Path) -> None:
    """Cut after the first epoch, the keys are those of its history."""
    runs = Runs(evaluated("Fickle", {"a": 1.0}, {"a": 1.0}), tmp_path)
    session = runs.cut("cut", iteration=4)
    assert session.stages[0].evaluators[0].keys is None
    session.train()
    assert_same_bits(session.path, runs.plain)


def test_restless_is_restless() -> None:
    """The evaluator of these tests does leave gradients behind, by itself."""
    net = torch.nn.Linear(4, 1)
    Restless()({"net": net}, batches_of(Points(10)))
    assert net.weight.grad is not None
