"""Metrics that give a dict or tensors: columns, and data beside the history."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import metric_parts
import pytest
import torch
import torchmetrics
from exact_configs import (
    Config,
    batches_of,
    config,
    feed,
    layer,
    loader,
    loss,
    made,
    node,
    stage,
    trained_by,
)
from exact_runs import Runs
from metric_parts import Labelled
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import SGD
from torchmetrics import wrappers

from torchassistant import create_session, load_session
from torchassistant.cli.tables import result_as_data, result_in_short
from torchassistant.errors import ConfigError, DataError, SessionError
from torchassistant.files import InvalidFile
from torchassistant.session import Session
from torchassistant.session.history.row_data import decoded, encoded
from torchassistant.training import Reporter


def measured(**metrics: Config) -> Config:
    """Classification, validated with some metrics; each is measured as ``v NAME``."""
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"points": made("metric_parts.Labelled", 10)},
        "loader_factories": {"batches": loader("points")},
        "models": {"net": layer("Linear", 4, 3)},
        "optimizers": {"descent": trained_by(made("SGD", lr=0.5), "net")},
        "losses": {"error": {**made("CrossEntropyLoss"), "inputs": ["said", "y"]}},
        "metrics": {name: {"inputs": ["said", "y"], **spec} for name, spec in metrics.items()},
        "batch_processors": {"run": {"neural_graph": [node("net", "x", "said", "descent")]}},
    }
    feeds = {"input_factories": [feed("batches", "x y")]}
    names = [{"metric_name": name, "display_name": f"v {name}"} for name in metrics]
    pipelines = {
        "fit": {**feeds, "losses": [loss("error")]},
        "check": {**feeds, "losses": [loss("error", loss_display_name="val")], "metrics": names},
    }
    return config(groups, pipelines, stage("fit", validation=["check"]))


def trained(spec: Config, folder: Path, preflight: bool = True) -> Session:
    session = create_session(spec, session_dir=folder / "session", preflight=preflight)
    session.train()
    return session


def by_hand(metrics: dict[str, Any], net: nn.Module, epochs: int = 2) -> list[dict[str, Any]]:
    """What metrics give after each epoch of the same training."""
    optimizer = SGD(net.parameters(), lr=0.5)
    rows = []
    for _ in range(epochs):
        for x, y in batches_of(Labelled(10)):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
        for metric in metrics.values():
            metric.reset()
        with torch.no_grad():
            for x, y in batches_of(Labelled(10)):
                for metric in metrics.values():
                    metric.update(net(x), y)
        rows.append({name: metric.compute() for name, metric in metrics.items()})
    return rows


def twin(spec: Config, folder: Path, preflight: bool = True) -> tuple[Session, nn.Module]:
    """A session before training, and a copy of its model."""
    session = create_session(spec, session_dir=folder / "session", preflight=preflight)
    net = copy.deepcopy(session.models["net"])
    return session, net


def columns(session: Session, of: str) -> list[str]:
    return [c for c in session.history if c == of or c.startswith(f"{of}/")]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one.dtype == other.dtype and torch.equal(one.nan_to_num(-1), other.nan_to_num(-1))


BY_CLASS: dict[str, Any] = {"task": "multiclass", "num_classes": 3}
ACCURACY = made("MulticlassAccuracy", 3)
EACH = made("MulticlassAccuracy", 3, average=None)
COLLECTION = made(
    "torchmetrics.MetricCollection",
    {
        "acc": ACCURACY,
        "f1": made("MulticlassF1Score", 3, average=None),
        "cm": made("MulticlassConfusionMatrix", 3),
    },
    prefix="of_",
)
TORCHMETRICS: dict[str, tuple[Config, Callable[[], Any]]] = {
    "each": (EACH, lambda: torchmetrics.Accuracy(**BY_CLASS, average=None)),
    "cm": (made("ConfusionMatrix", **BY_CLASS), lambda: torchmetrics.ConfusionMatrix(**BY_CLASS)),
    "roc": (made("ROC", **BY_CLASS), lambda: torchmetrics.ROC(**BY_CLASS)),
    "curve": (
        made("PrecisionRecallCurve", **BY_CLASS, thresholds=5),
        lambda: torchmetrics.PrecisionRecallCurve(**BY_CLASS, thresholds=5),
    ),
    "all": (
        COLLECTION,
        lambda: torchmetrics.MetricCollection(
            {
                "acc": torchmetrics.classification.MulticlassAccuracy(3),
                "f1": torchmetrics.classification.MulticlassF1Score(3, average=None),
                "cm": torchmetrics.classification.MulticlassConfusionMatrix(3),
            },
            prefix="of_",
        ),
    ),
    "labelled": (
        made("ClasswiseWrapper", EACH, labels=["cat", "dog", "owl"]),
        lambda: wrappers.ClasswiseWrapper(
            torchmetrics.Accuracy(**BY_CLASS, average=None), labels=["cat", "dog", "owl"]
        ),
    ),
    "range": (
        made("MinMaxMetric", ACCURACY),
        lambda: wrappers.MinMaxMetric(torchmetrics.classification.MulticlassAccuracy(3)),
    ),
}
COLUMNS = {
    "each": ["v each/0", "v each/1", "v each/2"],
    "cm": [],
    "roc": [],
    "curve": [],
    "all": ["v all/of_acc", "v all/of_f1/0", "v all/of_f1/1", "v all/of_f1/2"],
    "labelled": ["v labelled/cat", "v labelled/dog", "v labelled/owl"],
    "range": ["v range/raw", "v range/max", "v range/min"],
}


@pytest.mark.parametrize("preflight", [True, False])
def test_torchmetrics_are_as_by_hand(tmp_path: Path, preflight: bool) -> None:
    softmax = {"transform": "metric_parts.probabilities"}
    specs = {name: {**spec, **softmax} for name, (spec, _) in TORCHMETRICS.items()}
    session, net = twin(measured(**specs), tmp_path, preflight)
    session.train()
    rows = by_hand({n: _OfProbabilities(make()) for n, (_, make) in TORCHMETRICS.items()}, net)
    assert torch.equal(net.weight, session.models["net"].weight)
    for name, expected in COLUMNS.items():
        assert sorted(columns(session, f"v {name}")) == sorted(expected)
    for index, row in enumerate(rows):
        shown = session.history.iloc[index]
        assert [shown[c] for c in COLUMNS["each"]] == row["each"].tolist()
        assert [shown[c] for c in COLUMNS["labelled"]] == [
            v.item() for v in row["labelled"].values()
        ]
        assert shown["v range/max"] == shown["v range/raw"] == row["range"]["raw"].item()
        assert shown["v all/of_acc"] == row["all"]["of_acc"].item()
        assert [shown[c] for c in COLUMNS["all"][1:]] == row["all"]["of_f1"].tolist()
        for name in ("cm", "roc", "curve"):
            found = session.data(f"v {name}")[index]
            assert found[:3] == (0, index + 1, shown["step"])
            assert same(found.value, row[name])
        assert same(session.data("v all/of_cm")[index].value, row["all"]["of_cm"])


class _OfProbabilities:
    """Hands a metric what the sessions of these tests do."""

    def __init__(self, metric: Any) -> None:
        self.metric, self.reset, self.compute = metric, metric.reset, metric.compute

    def update(self, said: Tensor, y: Tensor) -> None:
        self.metric.update(said.softmax(1), y)


def test_a_bootstrap_draws_the_same_wherever_it_is_resumed(tmp_path: Path) -> None:
    boot = made("BootStrapper", ACCURACY, num_bootstraps=4, raw=True)
    boot["kwargs"]["sampling_strategy"] = "multinomial"
    runs = Runs(measured(boot=boot, cm=TORCHMETRICS["cm"][0]), tmp_path)
    plain = load_session(runs.plain)
    assert columns(plain, "v boot") == ["v boot/mean", "v boot/std"]
    assert plain.evaluate()["v boot/std"] == plain.history["v boot/std"].iloc[-1]
    assert plain.evaluate()["v boot/raw"].shape == (4,)
    runs.check_cuts()
    runs.check_cuts_in_validation(4)
    for path in sorted(tmp_path.glob("cut*")):
        for name in ("v cm", "v boot/raw"):
            for mine, theirs in zip(load_session(path).data(name), plain.data(name), strict=True):
                assert mine[:3] == theirs[:3]
                assert same(mine.value, theirs.value)


def test_data_is_cut_back_and_repaired_like_the_history(tmp_path: Path) -> None:
    session = trained(measured(cm=TORCHMETRICS["cm"][0]), tmp_path)
    files = [
        f"{folder}/0-{step}.safetensors" for folder in ("metrics", "history") for step in (3, 6)
    ]
    assert all((session.path / name).is_file() for name in files)
    assert list(load_file(session.path / files[0])) == ["v cm"]
    (session.path / files[0]).unlink()
    (session.path / files[3]).write_bytes(b"broken")
    again = load_session(session.path)
    assert len(again.data("v cm")) == 2
    checkpoints = sorted((session.path / "checkpoints").iterdir())
    for later in checkpoints[2:]:
        (later / "manifest.json").unlink()
    back = load_session(session.path)
    assert len(back.data("v cm")) == 1
    back.train()
    assert all((session.path / name).is_file() for name in files)
    assert same(back.data("v cm")[1].value, session.data("v cm")[1].value)


def test_a_class_of_ones_own_and_a_function(tmp_path: Path) -> None:
    spec = measured(top=made("metric_parts.TopK", k=2), rates=made("metric_parts.errors"))
    spec["checkpoints"] = {"best": {"monitor": "v top/rank", "mode": "min"}}
    session, net = twin(spec, tmp_path)
    session.train()
    rows = by_hand({"top": metric_parts.TopK(2)}, net)
    history = session.history
    assert list(history["v top/accuracy"]) == [row["top"]["accuracy"] for row in rows]
    assert list(history["v top/rank"]) == [row["top"]["rank"] for row in rows]
    means = [
        (metric_parts.errors(net(x), y)["wrong"] * len(x)).item()
        for x, y in batches_of(Labelled(10))
    ]
    assert history["v rates/wrong"].iloc[-1] == pytest.approx(sum(means) / 10)


def test_lists_of_dicts_and_values_by_class(tmp_path: Path) -> None:
    """pycocotools need not be there: a metric of the same interface as mean average precision."""
    detections = {**made("metric_parts.Detections"), "transform": "metric_parts.boxes_of"}
    session = trained(measured(found=detections), tmp_path)
    assert columns(session, "v found") == ["v found/map"]
    for row in session.data("v found/map_per_class"):
        assert isinstance(row.value, Tensor) and row.value.ndim == 1
        assert len(row.value) == 3


def test_what_is_evaluated_is_shown(tmp_path: Path) -> None:
    session = trained(measured(cm=TORCHMETRICS["cm"][0], roc=TORCHMETRICS["roc"][0]), tmp_path)
    results = session.evaluate()
    assert result_in_short(results["v cm"]) == "tensor (3, 3)"
    assert result_in_short(results["val"]) == f"{results['val']:.6g}"
    assert result_as_data(results["v cm"]) == results["v cm"].tolist()
    assert result_as_data([torch.tensor([1.0, float("nan")])]) == [[1.0, None]]
    json.dumps(result_as_data(results["v roc"]), allow_nan=False)


class _NextEpoch(Reporter):
    def epoch_finished(self, *_: Any) -> None:
        metric_parts.Passes.count += 1


def giving(*values: Any) -> Config:
    return {**made("metric_parts.Gives", *values)}


def going_on(spec: Config, folder: Path, preflight: bool = True) -> Session:
    metric_parts.Passes.count = 0
    session = create_session(spec, session_dir=folder / "session", preflight=preflight)
    session.train(_NextEpoch())
    return session


def test_what_may_change_from_epoch_to_epoch(tmp_path: Path) -> None:
    session = going_on(
        measured(
            shapes=giving("matrix", "long"),
            fewer=giving({"a": 1, "b": "nan"}, {"a": 2}),
            kinds=giving({"a": 1.0, "t": "matrix"}, {"a": "numpy", "t": 3.0}),
            parts=giving("curve", "array"),
        ),
        tmp_path,
    )
    assert [tuple(row.value.shape) for row in session.data("v shapes")] == [(2, 3), (7,)]
    rows = session.rows.rows(0)
    assert [row["v fewer/a"] for row in rows] == [1.0, 2.0]
    assert rows[0]["v fewer/b"] != rows[0]["v fewer/b"] and rows[1]["v fewer/b"] is None
    assert [row["v kinds/a"] for row in rows] == [1.0, 0.5]
    assert [row.value.tolist() for row in session.data("v kinds/t")] == [
        [[0, 1, 2], [3, 4, 5]],
        3.0,
    ]
    first, second = (row.value for row in session.data("v parts"))
    assert same(first, list(metric_parts.value_of("curve"))) and second.dtype == torch.float64
    assert "v shapes" not in session.history and "v parts" not in session.history


CHANGING = {
    "a new key": ([{"a": 1}, {"a": 1, "b": 2}], 'gave "a" when the stage began, and gives "b" now'),
    "a number": ([{"a": 1}, 1.0], 'gave "a" when the stage began, and gives one number now$'),
    "a dict": ([1.0, {"a": 1.0}], 'gave one number when the stage began, and gives "a" now'),
    "a tensor": (
        [{"a": 1}, {"a": "long"}],
        '"a" of the metric "m" is a column of the history, and',
    ),
    "a text": ([{"a": 1}, {"a": "text"}], '"a" of the metric "m" must be a number or a tensor'),
}


@pytest.mark.parametrize("preflight", [True, False])
@pytest.mark.parametrize("what", CHANGING)
def test_what_changes_is_an_error(tmp_path: Path, what: str, preflight: bool) -> None:
    values, message = CHANGING[what]
    with pytest.raises(DataError, match=message) as raised:
        going_on(measured(m=giving(*values)), tmp_path, preflight)
    assert 'the metric "m"' in str(raised.value)


WRONG = {
    "text": "must be a number or a tensor for the history; it is a str",
    "none": "must be a number or a tensor for the history; it is a NoneType",
    "complex": "must be a number or a tensor for the history; it is a Tensor",
    "empty": 'gave a dict without a value; "columns" may name its keys',
    "number as key": "must be texts; found 1",
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_told_by_the_preflight(tmp_path: Path, what: str) -> None:
    with pytest.raises(ConfigError) as raised:
        create_session(measured(m=giving(what)), session_dir=tmp_path / "s")
    (problem,) = raised.value.problems
    assert WRONG[what] in problem.message and 'the metric "m"' in problem.message


MONITORS = {
    "v cm": '"v cm" is a tensor, which cannot be monitored',
    "v top": '"v top" gives several numbers; name one of them: "v top/accuracy", "v top/rank"',
    "v top/rnk": 'no row has "v top/rnk"; did you mean "v top/rank"?',
}


@pytest.mark.parametrize("monitor", MONITORS)
@pytest.mark.parametrize("place", ["stop_condition", "best"])
def test_what_cannot_be_monitored_is_told(tmp_path: Path, monitor: str, place: str) -> None:
    spec = measured(cm=TORCHMETRICS["cm"][0], top=made("metric_parts.TopK"))
    if place == "best":
        spec["checkpoints"] = {"best": {"monitor": monitor}}
    else:
        spec["train"]["stages"][0]["stop_condition"] = made("EarlyStopping", monitor)
    with pytest.raises(ConfigError) as raised:
        create_session(spec, session_dir=tmp_path / "s")
    (problem,) = raised.value.problems
    assert problem.message == MONITORS[monitor]


def test_two_values_do_not_share_a_column(tmp_path: Path) -> None:
    spec = measured(m=giving({"a": 1}), n=giving(1.0))
    spec["initialize"]["pipelines"]["check"]["metrics"][1]["display_name"] = "v m/a"
    with pytest.raises(DataError, match='two values of a row would have the column "v m/a"'):
        going_on(spec, tmp_path)


def test_declared_columns_need_no_batch(tmp_path: Path) -> None:
    session = create_session(
        measured(top=made("metric_parts.Declared")), session_dir=tmp_path / "s", preflight=False
    )
    (item,) = session.pipelines["check"].metrics
    assert item.columns == ["v top/accuracy", "v top/rank"]


def test_data_that_is_not_there(tmp_path: Path) -> None:
    session = trained(measured(cm=TORCHMETRICS["cm"][0]), tmp_path)
    with pytest.raises(SessionError, match='no row has data of "v mc"; did you mean "v cm"'):
        session.data("v mc")


def test_a_file_of_a_row_gives_what_it_was_given() -> None:
    data: dict[str, Any] = {
        "a": torch.eye(2),
        "a[0]": [torch.ones(1), [torch.zeros(0, 3)]],
        "b": [torch.ones(1)],
        "b[0]": torch.tensor(2),
    }
    again = decoded(encoded(data))
    assert list(again) == list(data) and all(same(again[key], data[key]) for key in data)
    assert encoded(data) == encoded(again)


@pytest.mark.parametrize(
    "file", [b"", b"\x00" * 9, b"\xff" * 16, encoded({"a": torch.ones(1)})[:-1]]
)
def test_a_broken_file_of_a_row_is_told(file: bytes) -> None:
    with pytest.raises(InvalidFile, match="holds no data of metrics"):
        decoded(file)


def test_a_tracker_is_told_what_does_its_work(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a MetricTracker, which remembers values over epochs"):
        create_session(measured(m=made("MetricTracker", ACCURACY)), session_dir=tmp_path / "s")
