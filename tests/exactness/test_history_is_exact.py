"""What stands in the history: means over samples, metrics of whole epochs."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torchmetrics
from exact_configs import (
    DROPOUT_NET,
    Config,
    Twin,
    batches_of,
    config,
    feed,
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
from exact_parts import Classes, Points
from torch.nn.functional import cross_entropy, mse_loss
from torch.optim import SGD

NEARLY = 1e-12
"""Of the sum of a few numbers, in whichever order."""


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weight", [1, 0.2])
def test_a_training_loss_is_the_mean_over_samples_as_they_were_met(
    tmp_path: Path, reduction: str, weight: float
) -> None:
    """In train mode, before the step of their batch; without the weight that it is trained with."""
    error = {**made("MSELoss", reduction=reduction), "inputs": ["y_hat", "y"]}
    groups = {
        "models": {"net": DROPOUT_NET},
        "losses": {"error": error},
        "optimizers": {"descent": trained_by(made("SGD", lr=0.01), "net")},
    }
    twin = Twin(one_model(groups, pipeline={"losses": [loss("error", weight=weight)]}), tmp_path)
    net = twin.models["net"]
    optimizer = SGD(net.parameters(), lr=0.01)
    means = []
    for _ in range(2):
        squares = []
        for x, y in batches_of(Points(10)):
            y_hat = net(x)
            squares += ((y_hat - y).detach() ** 2).double().flatten().tolist()
            optimizer.zero_grad()
            (weight * mse_loss(y_hat, y, reduction=reduction)).backward()
            optimizer.step()
        means.append(math.fsum(squares) / 10)
    twin.check()
    assert list(twin.session.history["error"]) == pytest.approx(means, rel=1e-6)


def test_a_training_loss_over_many_iterations(tmp_path: Path) -> None:
    """More than are kept before they are added up; the last batch is smaller."""
    groups = {
        "datasets": {"points": part("Points", 2101)},
        "optimizers": {"descent": trained_by(made("SGD", lr=0.001), "net")},
    }
    twin = Twin(one_model(groups, stage("fit", epochs=1)), tmp_path)
    net = twin.models["net"]
    optimizer = SGD(net.parameters(), lr=0.001)
    errors = []
    for x, y in batches_of(Points(2101)):
        error = mse_loss(net(x), y)
        errors.append(error.item() * len(x))
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    twin.check()
    assert twin.session.history["error"].item() == pytest.approx(
        math.fsum(errors) / 2101, rel=NEARLY
    )


def test_a_loss_that_the_model_has_averaged_already(tmp_path: Path) -> None:
    """As the divergence of a variational autoencoder: its mean is over samples nevertheless."""
    groups = {
        "models": {"net": part("WithPenalty")},
        "losses": {"penalty": {**made("torch.nn.Identity"), "inputs": ["penalty"]}},
        "batch_processors": {
            "run": {"neural_graph": [node("net", "x", "y_hat penalty", "descent")]}
        },
    }
    losses = [loss("error"), loss("penalty")]
    twin = Twin(one_model(groups, stage("fit", epochs=1), pipeline={"losses": losses}), tmp_path)
    net = twin.models["net"]
    optimizer = SGD(net.parameters(), lr=0.05)
    penalties = []
    for x, y in batches_of(Points(10)):
        y_hat, penalty = net(x)
        penalties.append(penalty.item() * len(x))
        optimizer.zero_grad()
        (mse_loss(y_hat, y) + penalty).backward()
        optimizer.step()
    twin.check()
    assert twin.session.history["penalty"].item() == pytest.approx(
        math.fsum(penalties) / 10, rel=NEARLY
    )


def test_a_validation_loss_is_the_mean_over_samples_of_the_trained_model(tmp_path: Path) -> None:
    """In eval mode, after the epoch; of the same pipeline it stands in place of the training's."""
    groups = {"models": {"net": DROPOUT_NET}}
    twin = Twin(one_model(groups, stage("fit", validation=["fit"])), tmp_path)
    net = twin.models["net"]
    optimizer = SGD(net.parameters(), lr=0.05)
    means = []
    for _ in range(2):
        net.train()
        for x, y in batches_of(Points(10)):
            optimizer.zero_grad()
            mse_loss(net(x), y).backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            errors = [(mse_loss(net(x), y).item(), len(x)) for x, y in batches_of(Points(10))]
        means.append(math.fsum(error * count for error, count in errors) / 10)
    twin.check()
    table = twin.session.history
    assert list(table.columns) == ["stage", "epoch", "step", "error", "seconds"]
    assert list(table["error"]) == pytest.approx(means, rel=NEARLY)


def classifier(*stages: Config) -> Config:
    """Three classes; ``fit`` is measured on its own data, ``check`` on other data."""
    told = {"inputs": ["scores", "label"], "transform": "exact_parts.predicted_class"}
    groups = {
        "datasets": {"train": part("Classes", 10), "held out": part("Classes", 17, seed=1)},
        "loader_factories": {
            "batches": loader("train", shuffle=True),
            "held-out batches": loader("held out", shuffle=True),
        },
        "models": {"net": layer("Linear", 4, 3)},
        "optimizers": {"descent": trained_by(made("SGD", lr=0.5), "net")},
        "losses": {"entropy": {**made("CrossEntropyLoss"), "inputs": ["scores", "label"]}},
        "metrics": {
            "accuracy": {**made("Accuracy"), **told},
            "f1": {**made("F1Score", task="multiclass", num_classes=3, average="macro"), **told},
            "auroc": {
                **made("AUROC", task="multiclass", num_classes=3),
                "inputs": ["scores", "label"],
            },
        },
        "batch_processors": {"run": {"neural_graph": [node("net", "x", "scores", "descent")]}},
    }
    pipelines = {
        "check": {
            "input_factories": [feed("held-out batches", "x label")],
            "metrics": [{"metric_name": name} for name in groups["metrics"]],
            "losses": [loss("entropy", loss_display_name="held-out entropy")],
        },
        "fit": {
            "input_factories": [feed("batches", "x label")],
            "metrics": [{"metric_name": "accuracy", "display_name": "fit accuracy"}],
            "losses": [loss("entropy")],
        },
    }
    return config(groups, pipelines, *stages)


def test_metrics_are_those_of_the_whole_epoch(tmp_path: Path) -> None:
    """Not means of batches; and the data of evaluation are not shuffled."""
    twin = Twin(classifier(stage("fit", epochs=1, validation=["check"])), tmp_path)
    (row,) = twin.session.history.to_dict("records")
    data = Classes(17, seed=1)
    labels = torch.tensor(data.labels)
    with torch.no_grad():
        scores = twin.session.models["net"](data.x)

    def f1(scores: torch.Tensor, labels: torch.Tensor) -> float:
        score = torchmetrics.F1Score(task="multiclass", num_classes=3, average="macro")
        return score(scores, labels).item()

    auroc = torchmetrics.AUROC(task="multiclass", num_classes=3)
    assert row["accuracy"] == pytest.approx((scores.argmax(1) == labels).double().mean().item())
    assert row["f1"] == pytest.approx(f1(scores, labels))
    assert row["auroc"] == pytest.approx(auroc(scores, labels).item())
    assert row["held-out entropy"] == pytest.approx(cross_entropy(scores, labels).item(), rel=1e-6)
    of_batches = [f1(s, t) for s, t in zip(scores.split(4), labels.split(4), strict=True)]
    assert row["f1"] != pytest.approx(sum(of_batches) / len(of_batches), abs=0.01)


def test_columns_stand_in_the_order_of_the_config(tmp_path: Path) -> None:
    """A training pipeline that is not validated brings its losses, and no metrics."""
    twin = Twin(classifier(stage("fit", validation=["check"])), tmp_path)
    header = (twin.session.path / "metrics" / "0.csv").read_text().splitlines()[0]
    assert header == "epoch,step,held-out entropy,accuracy,f1,auroc,entropy,seconds"


@pytest.mark.parametrize(("steps", "samples"), [(2, 8), (0.5, 12), (1.0, 17), ({"check": 1}, 4)])
def test_a_part_of_a_validation_pipeline(
    tmp_path: Path, steps: int | float | dict[str, int], samples: int
) -> None:
    """A count of batches, or a fraction of them, from the beginning."""
    stages = [stage("fit", epochs=1, validation=["check"], eval_steps=steps)]
    twin = Twin(classifier(*stages), tmp_path)
    (row,) = twin.session.history.to_dict("records")
    data = Classes(17, seed=1)
    with torch.no_grad():
        scores = twin.session.models["net"](data.x[:samples])
    entropy = cross_entropy(scores, torch.tensor(data.labels[:samples])).item()
    assert row["held-out entropy"] == pytest.approx(entropy, rel=1e-6)


def test_evaluation_again_gives_the_numbers_of_the_history(tmp_path: Path) -> None:
    twin = Twin(classifier(stage("fit", validation=["check"])), tmp_path)
    last = twin.session.history.to_dict("records")[-1]
    results = twin.session.evaluate()
    assert results == {name: last[name] for name in results}
    assert results.keys() == {"accuracy", "f1", "auroc", "held-out entropy"}
