"""Several pipelines in a stage, and several stages in a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from exact_configs import (
    Config,
    Twin,
    batches_of,
    config,
    feed,
    fit,
    layer,
    loader,
    loss,
    made,
    node,
    one_model,
    part,
    stage,
    trained_by,
)
from exact_parts import Classes, Points, Told
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import ExponentialLR


def two_tasks(*stages: Config, body_optimizers: tuple[str, str]) -> Config:
    """A body with two heads: ``values`` over 5 batches an epoch, ``classes`` over 2.

    The body has two optimizers; the names say which of them each pipeline uses.
    """
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"points": part("Points", 18), "labelled": part("Classes", 8)},
        "loader_factories": {"batches": loader("points"), "labels": loader("labelled")},
        "models": {
            "body": layer("Linear", 4, 5),
            "value": layer("Linear", 5, 1),
            "class": layer("Linear", 5, 3),
        },
        "optimizers": {
            "adam": {
                **trained_by(made("Adam", lr=0.01), "body"),
                "lr_scheduler": {**made("ExponentialLR", gamma=0.9), "interval": "step"},
            },
            "momentum": {
                **trained_by(made("SGD", lr=0.02, momentum=0.9), "body"),
                "lr_scheduler": made("ExponentialLR", gamma=0.5),
            },
            "value descent": trained_by(made("SGD", lr=0.05), "value"),
            "class descent": trained_by(made("SGD", lr=0.05), "class"),
        },
        "losses": {
            "error": {**made("MSELoss"), "inputs": ["y_hat", "y"]},
            "entropy": {**made("CrossEntropyLoss"), "inputs": ["scores", "label"]},
        },
        "batch_processors": {
            "valuing": {
                "neural_graph": [
                    node("body", "x", "h", body_optimizers[0]),
                    node("value", "h", "y_hat", "value descent"),
                ]
            },
            "classing": {
                "neural_graph": [
                    node("body", "x", "h", body_optimizers[1]),
                    node("class", "h", "scores", "class descent"),
                ]
            },
        },
        "batch_graphs": {"to value": {"nodes": ["valuing"]}, "to class": {"nodes": ["classing"]}},
    }
    for name in {"adam", "momentum"} - set(body_optimizers):
        del groups["optimizers"][name]
    pipelines = {
        "values": {
            "graph": "to value",
            "input_factories": [feed("batches", "x y")],
            "losses": [loss("error")],
        },
        "classes": {
            "graph": "to class",
            "input_factories": [feed("labels", "x label")],
            "losses": [loss("entropy")],
        },
    }
    return config(groups, pipelines, *stages)


Batch = Sequence[Tensor]


class TwoTasks:
    """The loop by hand of the same."""

    def __init__(self, models: dict[str, nn.Module]) -> None:
        self.body, self.value, self.class_ = (models[n] for n in ("body", "value", "class"))
        self.adam = Adam(self.body.parameters(), lr=0.01)
        self.momentum = SGD(self.body.parameters(), lr=0.02, momentum=0.9)
        self.adam_rate = ExponentialLR(self.adam, 0.9)
        self.momentum_rate = ExponentialLR(self.momentum, 0.5)
        self.value_descent = SGD(self.value.parameters(), lr=0.05)
        self.class_descent = SGD(self.class_.parameters(), lr=0.05)

    def learn_value(self, batch: Batch, optimizer: Optimizer) -> None:
        x, y = batch
        error = mse_loss(self.value(self.body(x)), y)
        self.update(error, optimizer, self.value_descent)

    def learn_class(self, batch: Batch, optimizer: Optimizer) -> None:
        x, label = batch
        error = cross_entropy(self.class_(self.body(x)), label)
        self.update(error, optimizer, self.class_descent)

    def update(self, error: Tensor, optimizer: Optimizer, head: Optimizer) -> None:
        optimizer.zero_grad()
        head.zero_grad()
        error.backward()
        optimizer.step()
        head.step()
        if optimizer is self.adam:
            self.adam_rate.step()


@pytest.mark.parametrize("order", [("values", "classes"), ("classes", "values")])
@pytest.mark.parametrize("shared", [True, False])
def test_pipelines_of_unequal_length_share_a_model(
    tmp_path: Path, order: tuple[str, str], shared: bool
) -> None:
    """The one that is done sits out till the end of the epoch."""
    optimizers = ("adam", "adam") if shared else ("adam", "momentum")
    twin = Twin(two_tasks(stage(*order, epochs=2), body_optimizers=optimizers), tmp_path)
    loop = TwoTasks(twin.models)
    of_class = loop.adam if shared else loop.momentum
    for _ in range(2):
        values, classes = list(batches_of(Points(18))), list(batches_of(Classes(8)))
        for i in range(5):
            for name in order:
                if name == "values":
                    loop.learn_value(values[i], loop.adam)
                elif i < len(classes):
                    loop.learn_class(classes[i], of_class)
        if not shared:
            loop.momentum_rate.step()
    twin.check()
    assert twin.session.progress.step == 10


@pytest.mark.parametrize("carried", [True, False], ids=["carried over", "of its own"])
def test_two_stages(tmp_path: Path, carried: bool) -> None:
    """An optimizer, and its scheduler, goes on in the next stage as it was left."""
    stages = [stage("values", epochs=2), stage("classes", epochs=3), stage("values", epochs=1)]
    optimizers = ("momentum", "momentum" if carried else "adam")
    twin = Twin(two_tasks(*stages, body_optimizers=optimizers), tmp_path)
    loop = TwoTasks(twin.models)
    values, classes = list(batches_of(Points(18))), list(batches_of(Classes(8)))
    of_class = loop.momentum if carried else loop.adam
    for _ in range(2):
        for batch in values:
            loop.learn_value(batch, loop.momentum)
        loop.momentum_rate.step()
    for _ in range(3):
        for batch in classes:
            loop.learn_class(batch, of_class)
        if carried:
            loop.momentum_rate.step()
    for batch in values:
        loop.learn_value(batch, loop.momentum)
    twin.check()

    table = twin.session.history
    assert list(table["stage"]) == [0, 0, 1, 1, 1, 2]
    assert list(table["epoch"]) == [1, 2, 3, 4, 5, 6]
    assert list(table["step"]) == [5, 10, 12, 14, 16, 21]


def test_a_teacher_is_frozen_in_the_stage_of_its_student(tmp_path: Path) -> None:
    """Distillation: dropout and batch norm of the teacher are active, and nothing of it changes."""
    groups = {
        "models": {
            "net": part("Regressor", norm=True, dropout=0.2),
            "student": layer("Linear", 4, 1),
        },
        "optimizers": {"student descent": trained_by(made("Adam", lr=0.01), "student")},
        "losses": {"imitation": {**made("L1Loss"), "inputs": ["guess", "y_hat"]}},
        "batch_processors": {
            "teaching": {"neural_graph": [node("net", "x", "y_hat", "descent")]},
            "learning": {
                "neural_graph": [
                    node("net", "x", "y_hat"),
                    node("student", "x", "guess", "student descent"),
                ]
            },
        },
        "batch_graphs": {"first": {"nodes": ["teaching"]}, "second": {"nodes": ["learning"]}},
    }
    distil = {
        "graph": "second",
        "input_factories": [feed("batches", "x y")],
        "losses": [loss("imitation")],
    }
    stages = [stage("fit"), stage("distil")]
    twin = Twin(one_model(groups, *stages, pipeline={"graph": "first"}, distil=distil), tmp_path)
    teacher, student = twin.models["net"], twin.models["student"]
    fit(teacher, SGD(teacher.parameters(), lr=0.05), batches_of(Points(10)))
    taught = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    optimizer = Adam(student.parameters(), lr=0.01)
    for _ in range(2):
        for x, _ in batches_of(Points(10)):
            optimizer.zero_grad()
            nn.functional.l1_loss(student(x), teacher(x).detach()).backward()
            optimizer.step()
    teacher.load_state_dict(taught)
    twin.check()


def test_what_a_stop_condition_is_told(tmp_path: Path) -> None:
    """Epochs count within the stage, and so do the rows, which are whole."""
    Told.calls.clear()
    stages = [
        stage("fit", validation=["check"], stop_condition=part("Told", 2)),
        stage("fit", stop_condition=part("Told", 1)),
    ]
    check = {
        "input_factories": [feed("batches", "x y")],
        "losses": [loss("error", loss_display_name="held out")],
    }
    twin = Twin(one_model({}, *stages, check=check), tmp_path)
    table = twin.session.history.drop(columns="stage")
    rows: list[dict[str, Any]] = [
        {key: value for key, value in row.items() if value == value}
        for row in table.to_dict("records")
    ]
    first, second, third = rows
    assert Told.calls == [(1, [first]), (2, [first, second]), (1, [third])]
    assert list(first) == ["epoch", "step", "error", "held out", "seconds"]
    assert set(third) == {"epoch", "step", "error", "seconds"}
    assert [(row["epoch"], row["step"]) for row in rows] == [(1, 3), (2, 6), (3, 9)]


def test_iterations_are_those_of_the_stage(tmp_path: Path) -> None:
    """Four of them are reached in the second epoch of the second stage."""
    ends = stage("fit", stop_condition=made("IterationsCompleted", 4))
    twin = Twin(one_model({}, stage("fit", epochs=1), ends), tmp_path)
    assert list(twin.session.history["stage"]) == [0, 1, 1]
    net = twin.models["net"]
    fit(net, SGD(net.parameters(), lr=0.05), batches_of(Points(10)), epochs=3)
    twin.check()


def test_a_scheduler_steps_after_the_last_epoch_of_a_stage_too(tmp_path: Path) -> None:
    lr_scheduler = made("ExponentialLR", gamma=0.5)
    descent = {**trained_by(made("SGD", lr=0.08), "net"), "lr_scheduler": lr_scheduler}
    stages = [stage("fit", epochs=1), stage("fit", epochs=2)]
    twin = Twin(one_model({"optimizers": {"descent": descent}}, *stages), tmp_path)
    net = twin.models["net"]
    for rate in (0.08, 0.04, 0.02):
        fit(net, SGD(net.parameters(), lr=rate), batches_of(Points(10)), epochs=1)
    twin.check()
    assert twin.session.optimizers["descent"].param_groups[0]["lr"] == 0.01
