"""Means over examples, and over labels, wherever the examples stand in a batch."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import counted_parts as parts
import pytest
import torch
from exact_configs import (
    NET,
    Config,
    config,
    feed,
    graph,
    loader,
    loss,
    made,
    node,
    one_model,
    part,
    stage,
    trained_by,
)
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, ctc_loss
from torch.optim import SGD

from torchassistant import create_session
from torchassistant.errors import ConfigError
from torchassistant.frames import examples_left
from torchassistant.session import Session

NEARLY = 1e-6


def own(name: str, *args: Any, **kwargs: Any) -> Config:
    """An object of ``counted_parts``."""
    return made(f"counted_parts.{name}", *args, **kwargs)


def speech(
    model: Config,
    inputs: str,
    output: str,
    score: Config,
    columns: str = "x x_len y y_len",
    dataset: str = "Series",
    collator: str = "TimeFirst",
    lr: float = 0.0,
    fit: Config | None = None,
    metrics: dict[str, Config] | None = None,
    **kwargs: Any,
) -> Config:
    """One model over the series, for one epoch; the loss is called ``error``."""
    batches = {**loader("series", **kwargs), "collator": "collate"}
    if dataset == "Stream":
        batches["kwargs"].pop("shuffle")
    groups = {
        "datasets": {"series": own(dataset)},
        "collators": {"collate": own(collator)},
        "loader_factories": {"batches": batches},
        "models": {"net": model},
        "optimizers": {"descent": trained_by(made("SGD", lr=lr), "net")},
        "losses": {"error": score},
        "metrics": metrics or {},
        "batch_processors": {"run": {"neural_graph": [node("net", inputs, output, "descent")]}},
    }
    whole = {
        "input_factories": [feed("batches", columns)],
        "losses": [loss("error")],
        "metrics": [{"metric_name": name} for name in metrics or {}],
    }
    check = {**whole, "losses": [loss("error", loss_display_name="val error")]}
    pipelines = {"fit": {**whole, "metrics": [], **(fit or {})}, "check": check}
    return config(groups, pipelines, stage("fit", epochs=1, validation=["check"]))


CTC = {**made("CTCLoss"), "inputs": ["y_hat", "y", "x_len", "y_len"]}


def trained(spec: Config, folder: Path) -> tuple[Session, dict[str, nn.Module]]:
    """A trained session, and its models as they were before."""
    session = create_session(spec, session_dir=folder / "session")
    before = copy.deepcopy(dict(session.models))
    session.train()
    return session, before


def ctc_of(net: nn.Module, numbers: list[int]) -> Tensor:
    x, x_len, y, y_len = parts.TimeFirst()([parts.Series()[i] for i in numbers])
    return ctc_loss(net(x), y, x_len, y_len)


@pytest.mark.parametrize("dataset", ["Series", "Stream"])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_loss_over_an_epoch_of_time_first_batches(
    tmp_path: Path, dataset: str, workers: int
) -> None:
    if dataset == "Stream" and workers:
        workers = 1  # two would give batches of other examples
    spec = speech(
        own("Recogniser"), "x", "y_hat", CTC, dataset=dataset, batch_size=3, num_workers=workers
    )
    session, before = trained(spec, tmp_path)
    with torch.no_grad():
        each = [ctc_of(before["net"], [i]).item() for i in range(7)]
    row = session.history.iloc[0]
    assert row["error"] == pytest.approx(sum(each) / 7, rel=NEARLY)
    assert row["val error"] == pytest.approx(sum(each) / 7, rel=NEARLY)


@pytest.mark.parametrize(
    "drawn",
    [
        {"batch_size": 3, "drop_last": True},
        {"batch_sampler": {"class": "counted_parts.Uneven"}},
        {"batch_size": 4, "sampler": made("torch.utils.data.SequentialSampler", own("Series"))},
    ],
    ids=["drop_last", "batch sampler", "sampler"],
)
@pytest.mark.parametrize("workers", [0, 2])
def test_the_same_however_batches_are_drawn(tmp_path: Path, drawn: Config, workers: int) -> None:
    spec = speech(own("Recogniser"), "x", "y_hat", CTC)
    for definition in spec["initialize"]["definitions"]:
        if definition["group"] == "loader_factories":
            definition["spec"]["kwargs"] = {**drawn, "num_workers": workers}
            if "drop_last" in drawn:
                definition["spec"]["kwargs"]["shuffle"] = False
    session, before = trained(spec, tmp_path)
    met = {"drop_last": range(6), "batch_sampler": [0, 1, 2, 3, 4, 5]}
    numbers = next((list(met[key]) for key in met if key in drawn), list(range(7)))
    with torch.no_grad():
        each = [ctc_of(before["net"], [i]).item() for i in numbers]
    assert session.history["error"][0] == pytest.approx(sum(each) / len(each), rel=NEARLY)


def test_accumulated_gradients_of_time_first_batches(tmp_path: Path) -> None:
    """Batches of 4 and 3 are as one of 7."""
    accumulate = {"gradient_accumulation": 2}
    spec = speech(own("Recogniser"), "x", "y_hat", CTC, lr=0.5, fit=accumulate)
    session, before = trained(spec, tmp_path)
    net = before["net"]
    optimizer = SGD(net.parameters(), lr=0.5)
    ctc_of(net, list(range(7))).backward()
    optimizer.step()
    for mine, theirs in zip(net.parameters(), session.models["net"].parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)


def test_a_loss_that_the_model_computes(tmp_path: Path) -> None:
    score = {**own("Itself"), "inputs": ["value"]}
    session, before = trained(speech(own("OwnLoss"), "x x_len", "value", score), tmp_path)
    with torch.no_grad():
        each = [before["net"](x[:, None], torch.tensor([len(x)])).item() for x in parts.SERIES]
    row = session.history.iloc[0]
    assert row["error"] == pytest.approx(sum(each) / 7, rel=NEARLY)
    assert row["val error"] == pytest.approx(sum(each) / 7, rel=NEARLY)


def test_losses_and_plain_metrics_over_flattened_rows(tmp_path: Path) -> None:
    score = {**own("PerExample"), "inputs": ["rows", "lengths"]}
    metric = {"class": "counted_parts.mean_step", "inputs": ["rows", "lengths"]}
    model = made("torch.nn.Linear", 4, 2)
    spec = speech(
        model, "x", "rows", score, "x lengths", collator="Flattened", metrics={"mean": metric}
    )
    session, before = trained(spec, tmp_path)
    with torch.no_grad():
        rows = [before["net"](x) for x in parts.SERIES]
    row = session.history.iloc[0]
    square = sum((one**2).mean().item() for one in rows) / 7
    assert row["error"] == pytest.approx(square, rel=NEARLY)
    assert row["val error"] == pytest.approx(square, rel=NEARLY)
    assert row["mean"] == pytest.approx(sum(one.mean().item() for one in rows) / 7, rel=NEARLY)


@pytest.mark.parametrize("dataset", ["Series", "Stream"])
@pytest.mark.parametrize("collator", ["WithoutShort", "Doubled"])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_collator_that_gives_more_or_fewer_examples(
    tmp_path: Path, dataset: str, collator: str, workers: int
) -> None:
    model = made("torch.nn.Linear", 9 if collator == "WithoutShort" else 5, 2)
    score = {**own("PerBatch"), "inputs": ["y_hat"]}
    more: Any = {"batch_size": 3, "num_workers": workers}
    spec = speech(model, "x", "y_hat", score, "x", dataset, collator, **more)
    session, before = trained(spec, tmp_path)
    left = [i for i in range(7) if parts.LENGTHS[i] >= 6 or collator == "Doubled"]
    batches = [getattr(parts, collator)()([parts.Series()[i]]) for i in left]
    with torch.no_grad():
        each = [float((before["net"](one) ** 2).mean()) for batch in batches for one in batch]
    assert len(each) == (5 if collator == "WithoutShort" else 14)
    assert session.history["error"][0] == pytest.approx(sum(each) / len(each), rel=NEARLY)


def test_a_time_first_batch_of_fewer_steps_than_examples_is_whole() -> None:
    """(T, B, …) with T below B, in all columns: nothing was left out."""
    x, y = torch.zeros(3, 4, 2), torch.zeros(3, 4)
    assert examples_left({"x": x, "y": y}, 4) == 4
    assert examples_left({"x": x, "y": torch.zeros(3)}, 4) == 3
    assert examples_left({"x": torch.zeros(12, 2), "y": torch.zeros(12)}, 4) == 4
    assert examples_left({"x": torch.zeros(3, 2), "names": ["a", "b", "c"]}, 4) == 3
    assert examples_left({"value": torch.zeros(())}, 4) == 4


def test_a_batch_of_maps_or_of_one_long_row_is_whole() -> None:
    """Lists of tensors (B, …), and examples that are joined to one row (1, T)."""
    pyramid = [torch.zeros(4, 6), torch.zeros(4, 2), torch.zeros(4, 1)]
    assert examples_left({"x": pyramid, "y": pyramid}, 4) == 4
    assert examples_left({"x": pyramid}, 4) == 4
    assert examples_left({"x": [torch.zeros(6)] * 3, "y": torch.zeros(3)}, 4) == 3
    assert examples_left({"x": [], "y": []}, 4) == 0
    assert examples_left({"x": torch.zeros(1, 9, 2), "y": torch.zeros(1, 9)}, 4) == 4
    assert examples_left({"x": torch.zeros(1, 9), "y": torch.zeros(1)}, 4) == 1


def test_a_collator_may_have_an_attribute_count(tmp_path: Path) -> None:
    """A number of its own; only a method says how many examples there are."""
    score = {**own("PerBatch"), "inputs": ["y_hat"]}
    spec = speech(
        made("torch.nn.Linear", 9, 2), "x", "y_hat", score, "x", "Series", "Numbered", batch_size=3
    )
    session, before = trained(spec, tmp_path)
    whole = parts.Numbered()([parts.Series()[i] for i in range(7)])
    with torch.no_grad():
        expected = float((before["net"](whole) ** 2).mean())
    assert session.history["error"][0] == pytest.approx(expected, rel=NEARLY)


def test_a_processor_changes_no_count(tmp_path: Path) -> None:
    """It makes twice as many rows, and a first column with a number of rows of its own."""
    groups = {
        "datasets": {"points": part("Points", 6)},
        "models": {"net": NET},
        "optimizers": {"descent": trained_by(made("SGD", lr=0.0), "net")},
        "batch_processors": {
            "twice": own("Repeated"),
            "run": {"neural_graph": [node("net", "x", "y_hat", "descent")]},
        },
        "batch_graphs": {"whole": graph("in", twice="in", run="twice")},
    }
    fit = {
        "graph": "whole",
        "losses": [loss("error", "run")],
        "input_factories": [feed("batches", "x y", "in")],
    }
    session, before = trained(one_model(groups, stage("fit", epochs=1), pipeline=fit), tmp_path)
    data = session.datasets["points"]
    squares = [
        (before["net"](x) - y).square().mean().item() for x, y in (data[i] for i in range(6))
    ]
    assert session.history["error"][0] == pytest.approx(sum(squares) / 6, rel=NEARLY)


def two_ports(columns: str, sizes: tuple[int, int], score: Config) -> Config:
    """Two loaders into one processor; batches of these sizes."""
    groups = {
        "datasets": {"points": part("Points", 12)},
        "loader_factories": {
            "batches": loader("points", sizes[0]),
            "others": loader("points", sizes[1]),
        },
        "models": {"net": NET},
        "optimizers": {"descent": trained_by(made("SGD", lr=0.0), "net")},
        "losses": {"error": score},
        "batch_processors": {"run": {"neural_graph": [node("net", "x", "y_hat", "descent")]}},
        "batch_graphs": {"whole": graph("one two", run="one two")},
    }
    fit = {
        "graph": "whole",
        "input_factories": [feed("batches", "x y", "one"), feed("others", columns, "two")],
    }
    return one_model(groups, stage("fit", epochs=1), pipeline=fit)


def test_frames_that_are_concatenated_add_their_counts(tmp_path: Path) -> None:
    score = {**made("MSELoss"), "inputs": ["y_hat", "y"]}
    session = create_session(two_ports("x y", (4, 2), score), session_dir=tmp_path / "s")
    pipeline = session.pipelines["fit"]
    frames = next(pipeline.training_data().frames(0))
    pipeline.graph.for_training().run(frames)
    assert frames.counts == {"one": 4, "two": 2, "run": 6}


def test_frames_that_are_united_are_of_as_many_examples(tmp_path: Path) -> None:
    score = {**made("MSELoss"), "inputs": ["y_hat", "y"]}
    create_session(two_ports("u v", (4, 4), score), session_dir=tmp_path / "fits")
    with pytest.raises(ConfigError) as raised:
        create_session(two_ports("u v", (4, 2), score), session_dir=tmp_path / "not")
    assert 'of 4 examples ("one") and of 2 ("two")' in str(raised.value)
    assert "batch_processors" not in str(raised.value.problems[0].message)
    assert not (tmp_path / "not").exists()


def labelled(score: Config, **fit: Any) -> Config:
    """Scores for each of three labels an example; some labels, and all of a batch, are ignored."""
    groups = {
        "datasets": {"points": own("Labelled")},
        "loader_factories": {"batches": loader("points", 2)},
        "models": {"net": made("torch.nn.Linear", 4, 5)},
        "optimizers": {"descent": trained_by(made("SGD", lr=0.0), "net")},
        "losses": {"error": score},
    }
    check = {
        "input_factories": [feed("batches", "x y")],
        "losses": [loss("error", loss_display_name="val error")],
    }
    stages = stage("fit", epochs=1, validation=["check"], on_nonfinite="skip")
    return one_model(groups, stages, pipeline=fit, check=check)


def of_labels(net: nn.Module, kind: str) -> float:
    data = parts.Labelled()
    scores, y = parts.flat(net(data.x), data.y)
    if kind == "own":
        return float(scores.logsumexp(-1)[y != parts.IGNORED].mean())
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]) if kind == "weighted" else None
    return float(cross_entropy(scores, y, weight))


@pytest.mark.parametrize("kind", ["own", "cross entropy", "smoothed", "masked", "weighted"])
def test_a_loss_over_labels_is_their_mean_over_an_epoch(tmp_path: Path, kind: str) -> None:
    """The second of three batches has no label at all: it adds nothing, and is not NaN."""
    flat = "counted_parts.flat"
    score = {
        "own": own("MaskedMean"),
        "cross entropy": {**made("CrossEntropyLoss"), "transform": flat},
        "smoothed": {**made("CrossEntropyLoss", label_smoothing=0.1), "transform": flat},
        "masked": made("MaskedCrossEntropy"),
        "weighted": {**own("Weighted"), "transform": flat},
    }[kind]
    session, before = trained(labelled({**score, "inputs": ["y_hat", "y"]}), tmp_path)
    row = session.history.iloc[0]
    with torch.no_grad():
        data = parts.Labelled()
        scores, y = parts.flat(before["net"](data.x), data.y)
        want = of_labels(before["net"], kind)
        if kind == "smoothed":
            want = float(cross_entropy(scores, y, label_smoothing=0.1))
    assert row["error"] == pytest.approx(want, rel=1e-5)
    assert row["val error"] == pytest.approx(want, rel=1e-5)
