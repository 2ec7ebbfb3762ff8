"""Every metric of ours keeps the contract of metrics; what breaks it is told with its name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import (
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
    stage,
    trained_by,
)
from exact_runs import Cut, Runs, assert_same_bits
from metric_parts import Labelled
from test_metrics_by_key import measured
from torch import Tensor, nn
from torch.optim import SGD

import torchassistant.metrics as ours
from torchassistant import create_session, load_session
from torchassistant.errors import ConfigError, Interrupted, UserCodeError, UserError
from torchassistant.session import Session

DOCS = Path(__file__).parents[2] / "docs" / "config.md"


class Counting:
    """Counts rows."""

    def __init__(self) -> None:
        self.rows = 0

    def reset(self) -> None:
        self.rows = 0

    def update(self, said: Tensor, y: Tensor) -> None:
        self.rows += len(y)

    def compute(self) -> Any:
        return self.rows


class Nested(Counting):
    def compute(self) -> Any:
        return {"outer": {"inner": 1.0}}


class Text(Counting):
    def compute(self) -> Any:
        return "0.5"


class Keys(Counting):
    """Gives another key for each number of passes."""

    passes = 0

    def compute(self) -> Any:
        Keys.passes += 1
        return {f"key {Keys.passes}": 1.0}


class RaisingInUpdate(Counting):
    def update(self, said: Tensor, y: Tensor) -> None:
        raise KeyError("update")


class RaisingInCompute(Counting):
    def compute(self) -> Any:
        raise KeyError("compute")


class RaisingInReset(Counting):
    def reset(self) -> None:
        raise KeyError("reset")


class RaisingInSecondReset(Counting):
    """Can be reset as long as it has counted nothing."""

    def reset(self) -> None:
        if self.rows != 0:
            raise KeyError("reset")


class RaisingInCopy(Counting):
    def __deepcopy__(self, memo: Any) -> Any:
        raise KeyError("copy")


class Wanting(Counting):
    """Gives what has a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2))

    def compute(self) -> Any:
        return {"number": self.scale.sum() * self.rows, "tensor": self.scale * self.rows}


class Nothing(Counting):
    def compute(self) -> Any:
        return float("nan")


class Overwriting(Counting):
    """Changes what it is given."""

    def update(self, said: Tensor, y: Tensor) -> None:
        super().update(said, y)
        said.zero_()
        y.fill_(2)


def right(said: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Predicted classes, and those that there are."""
    return said.argmax(1), y


def sequences(said: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    return (said > 0).long(), torch.stack([y > 0, y > 1, y > 1], 1).long()


def values(said: Tensor, y: Tensor) -> Tensor:
    return said


HERE = "test_metric_contract"
BUILT_IN = {"Accuracy": right, "SequenceAccuracy": sequences, "MeanValue": values}


def test_these_are_all() -> None:
    own = {
        name for name, one in vars(ours).items() if getattr(one, "__module__", "") == ours.__name__
    }
    assert {name for name in own if isinstance(getattr(ours, name), type)} == BUILT_IN.keys()


def in_training(metrics: dict[str, Config], repeat: int = 1, epochs: int = 2) -> Config:
    """Classification, whose metrics are measured as it is trained."""
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"points": made("metric_parts.Labelled", 10)},
        "loader_factories": {"batches": loader("points")},
        "models": {"net": layer("Linear", 4, 3)},
        "optimizers": {"descent": trained_by(made("SGD", lr=0.5), "net")},
        "losses": {"error": {**made("CrossEntropyLoss"), "inputs": ["said", "y"]}},
        "metrics": {name: {"inputs": ["said", "y"], **spec} for name, spec in metrics.items()},
        "batch_processors": {"run": {"neural_graph": [node("net", "x", "said", "descent")]}},
    }
    fit = {
        "input_factories": [feed("batches", "x y")],
        "losses": [loss("error")],
        "metrics": [{"metric_name": name} for name in metrics],
    }
    entry = {"pipeline": "fit", "repeat": repeat, "when_exhausted": "wait"}
    spec = config(groups, {"fit": fit}, stage("fit", measure_training=True, epochs=epochs))
    spec["train"]["stages"][0]["training_pipelines"] = [entry]
    return spec


def built_in() -> dict[str, Config]:
    return {
        name: {**made(name), "transform": f"{HERE}.{function.__name__}"}
        for name, function in BUILT_IN.items()
    }


def check_turns(twin: Twin, epochs: int = 2) -> None:
    """The metrics of ours in a run are those of a plain loop."""
    net = twin.models["net"]
    optimizer = SGD(net.parameters(), lr=0.5)
    for epoch in range(epochs):
        metrics = {name: getattr(ours, name)() for name in BUILT_IN}
        for x, y in batches_of(Labelled(10)):
            optimizer.zero_grad()
            said = net(x)
            nn.functional.cross_entropy(said, y).backward()
            optimizer.step()
            for name, metric in metrics.items():
                given = BUILT_IN[name](said.detach(), y)  # type: ignore[operator]
                metric.update(*(given if isinstance(given, tuple) else (given,)))
        row = twin.session.rows.rows(0)[epoch]
        for name, metric in metrics.items():
            assert row[name] == metric.compute().item()
    twin.check()


@pytest.mark.parametrize("repeat", [1, 2, 5])
def test_ours_over_turns_are_as_in_a_plain_loop(tmp_path: Path, repeat: int) -> None:
    check_turns(Twin(in_training(built_in(), repeat), tmp_path))


@pytest.mark.parametrize("repeat", [1, 2])
def test_ours_go_on_where_they_were(tmp_path: Path, repeat: int) -> None:
    Runs(in_training(built_in(), repeat), tmp_path).check_cuts()


def ran(spec: Config, folder: Path, preflight: bool) -> Session:
    session = create_session(spec, session_dir=folder / "s", preflight=preflight)
    session.train()
    return session


BROKEN = {
    "Text": (UserError, "it is a str"),
    "Nested": (UserError, "it is a dict"),
    "Keys": (UserError, r'gave "key \d" when the stage began, and gives "key \d" now'),
    "RaisingInUpdate": (UserCodeError, "KeyError"),
    "RaisingInCompute": (UserCodeError, "KeyError"),
    "RaisingInReset": (UserCodeError, "KeyError"),
    "RaisingInSecondReset": (UserCodeError, "KeyError"),
    "RaisingInCopy": (UserCodeError, "KeyError"),
}


@pytest.mark.parametrize("preflight", [True, False])
@pytest.mark.parametrize("is_trained", [True, False])
@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_told_with_its_name(
    tmp_path: Path, name: str, is_trained: bool, preflight: bool
) -> None:
    broken = {"own": made(f"{HERE}.{name}")}
    spec = in_training(broken) if is_trained else measured(**broken)
    kind, message = BROKEN[name]
    with pytest.raises((kind, ConfigError)) as raised:
        ran(spec, tmp_path, preflight)
    error: BaseException | None = raised.value
    texts = []
    while error is not None:
        texts.append(f"{type(error).__name__} {error}")
        error = error.__cause__
    said = "\n".join(texts)
    assert 'the metric "own"' in said
    assert re.search(message, said)


@pytest.mark.parametrize("is_trained", [True, False])
def test_odd_ones_work(tmp_path: Path, is_trained: bool) -> None:
    odd = {name: made(f"{HERE}.{name}") for name in ("Wanting", "Nothing")}
    runs = Runs(in_training(odd) if is_trained else measured(**odd), tmp_path)
    session = load_session(runs.plain)
    shown = "" if is_trained else "v "
    assert session.history[f"{shown}Wanting/number"].tolist() == [20.0, 20.0]
    assert session.history[f"{shown}Nothing"].isna().all()
    value = session.data(f"{shown}Wanting/tensor")[-1].value
    assert isinstance(value, Tensor) and value.tolist() == [10.0, 10.0]
    assert not value.requires_grad
    runs.check_cuts()


@pytest.mark.parametrize("is_trained", [True, False])
def test_one_that_changes_its_inputs_changes_no_training(tmp_path: Path, is_trained: bool) -> None:
    overwriting, counting = made(f"{HERE}.Overwriting"), made(f"{HERE}.Counting")
    of = in_training if is_trained else lambda metrics: measured(**metrics)
    with_it = ran(of({"own": overwriting}), tmp_path / "a", True)
    without = ran(of({"own": counting}), tmp_path / "b", True)
    assert torch.equal(with_it.models["net"].weight, without.models["net"].weight)
    losses = [name for name in without.history if name in ("error", "val")]
    assert with_it.history[losses].equals(without.history[losses])


def test_the_class_of_the_documentation_runs_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = DOCS.read_text(encoding="utf-8")
    part = text[text.index("**A metric of your own**") :]
    found = re.search(r"```python\n(.*?)```", part, re.DOTALL)
    assert found is not None and "class TopKAccuracyRank:" in found[1]
    (tmp_path / "documented_metric.py").write_text(found[1])
    monkeypatch.syspath_prepend(tmp_path)
    trust: dict[str, Any] = {"trust": ["documented_metric"]}
    top = made("documented_metric.TopKAccuracyRank", k=2)
    spec = in_training({"top": top})
    spec["checkpoints"] = {"best": {"monitor": "top/accuracy"}}
    session = create_session(spec, session_dir=tmp_path / "plain", **trust)
    session.train()
    assert session.spec.checkpoints.bests[0].mode == "max"
    assert {"top/accuracy", "top/rank"} <= set(session.history)
    path = tmp_path / "cut"
    create_session(spec, session_dir=path, **trust)
    for _ in range(session.progress.step):
        cut = Cut(iteration=1)
        with pytest.raises(Interrupted):
            load_session(path, **trust).train(cut, cut.stop)
    load_session(path, **trust).train()
    assert_same_bits(path, session.path)
