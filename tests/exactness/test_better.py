"""What a metric says is better decides where a monitor leaves its mode out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import Config, made
from exact_runs import Runs
from metric_parts import TopK
from test_metrics_by_key import COLLECTION, EACH, measured
from torchmetrics import MeanSquaredError, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassCalibrationError
from torchmetrics.wrappers import BootStrapper, ClasswiseWrapper

from torchassistant import create_session, load_session
from torchassistant.errors import ConfigError, UserCodeError
from torchassistant.metrics import Accuracy, MeanValue, SequenceAccuracy
from torchassistant.session import Session
from torchassistant.training import better_of


class Errors(TopK):
    """Shares of which less is better, whatever is better of the others."""

    better = "min"


class Silent(TopK):
    better = None


class Said(Silent):
    """Says it when it is made."""

    def __init__(self, better: Any) -> None:
        super().__init__()
        self.better = better


class Raising(TopK):
    @property
    def better(self) -> str:  # type: ignore[override]
        raise KeyError("which")


class Patient:
    """A stop condition of a user that leaves the mode to the metric."""

    def __init__(self, monitor: str) -> None:
        self.monitor, self.mode = monitor, None

    def __call__(self, epoch: int, history: Any) -> bool:
        return epoch == 2


def monitored(monitor: str, mode: Config | None = None, **metrics: Config) -> Config:
    """Everything monitors one column."""
    spec = measured(**metrics)
    with_mode = {"monitor": monitor, **(mode or {})}
    conditions = [
        made("EarlyStopping", **with_mode, patience=2),
        made("AllOf", [made("TargetReached", target=7.0, **with_mode), made(PATIENT, monitor)]),
    ]
    spec["train"]["stages"][0]["stop_condition"] = made("AnyOf", conditions)
    spec["checkpoints"] = {"best": [{**with_mode}, {"monitor": "val"}]}
    plateau = {**made("ReduceLROnPlateau", patience=0, factor=0.5, **(mode or {}))}
    optimizer = next(d for d in spec["initialize"]["definitions"] if d["group"] == "optimizers")
    optimizer["spec"]["lr_scheduler"] = {**plateau, "monitor": monitor}
    return spec


PATIENT = "test_better.Patient"


def modes(session: Session) -> list[str | None]:
    """Of the best checkpoints, of early stopping, of a target, of a user's own, of a plateau."""
    early, both = session.stages[0].stop_condition.conditions  # type: ignore[attr-defined]
    target, own = both.conditions
    plateau = session.schedulers["descent"].scheduler
    bests = session.spec.checkpoints.bests
    assert bests[1].mode == "min"
    return [bests[0].mode, early.mode, target.mode, own.mode, plateau.mode]


NOTHING_SAID = ["min", None, None, None, "min"]


@pytest.mark.parametrize(
    ("metric", "monitor", "expected"),
    [
        (made("metric_parts.TopK"), "v m/accuracy", ["max"] * 5),
        (made("test_better.Errors"), "v m/rank", ["min"] * 5),
        (made("test_better.Said", better="max"), "v m/rank", ["max"] * 5),
        (made("test_better.Silent"), "v m/rank", NOTHING_SAID),
        ({**EACH, "transform": "metric_parts.probabilities"}, "v m/1", ["max"] * 5),
        ({**COLLECTION, "transform": "metric_parts.probabilities"}, "v m/of_f1/2", ["max"] * 5),
        (made("metric_parts.errors"), "v m/wrong", NOTHING_SAID),
    ],
)
def test_the_metric_decides(
    tmp_path: Path, metric: Config, monitor: str, expected: list[str | None]
) -> None:
    session = create_session(monitored(monitor, m=metric), session_dir=tmp_path / "s")
    assert modes(session) == expected
    assert modes(load_session(tmp_path / "s")) == expected


def test_a_mode_in_the_config_wins(tmp_path: Path) -> None:
    spec = monitored("v m/rank", {"mode": "min"}, m=made("metric_parts.TopK"))
    assert modes(create_session(spec, session_dir=tmp_path / "s"))[:3] == ["min"] * 3
    assert modes(load_session(tmp_path / "s"))[4] == "min"
    spec = monitored("v m/rank", m=made("metric_parts.TopK"))
    optimizer = next(d for d in spec["initialize"]["definitions"] if d["group"] == "optimizers")
    scheduler = {"class": "ReduceLROnPlateau", "args": ["min"], "monitor": "v m/rank"}
    optimizer["spec"]["lr_scheduler"] = scheduler
    assert modes(create_session(spec, session_dir=tmp_path / "t"))[4] == "min"


class Late(torch.optim.lr_scheduler.LRScheduler):
    """A scheduler of a user, which leaves the first epochs out."""

    def __init__(self, optimizer: Any, after: int, then: list[Any]) -> None:
        self.optimizer, self.after, self.then = optimizer, after, then

    def step(self, value: Any = None) -> None:
        self.after -= 1
        for one in self.then if self.after < 0 else []:
            one.step(value)

    def state_dict(self) -> dict[str, Any]:
        return {"after": self.after, "then": [one.state_dict() for one in self.then]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.after = state["after"]
        for one, own in zip(self.then, state["then"], strict=True):
            one.load_state_dict(own)


def test_a_plateau_in_a_scheduler_of_a_user(tmp_path: Path) -> None:
    spec = monitored("v m/accuracy", m=made("metric_parts.TopK"))
    optimizer = next(d for d in spec["initialize"]["definitions"] if d["group"] == "optimizers")
    inner = [made("ReduceLROnPlateau", patience=0), made("ReduceLROnPlateau", mode="min")]
    late = made("test_better.Late", 1, then=inner)
    optimizer["spec"]["lr_scheduler"] = {**late, "monitor": "v m/accuracy"}
    session = create_session(spec, session_dir=tmp_path / "s")
    session.train()
    for one in (session, load_session(tmp_path / "s")):
        plateaus: Any = one.schedulers["descent"].scheduler
        assert [plateau.mode for plateau in plateaus.then] == ["max", "min"]


def test_what_is_kept_reduced_and_resumed_follows_it(tmp_path: Path) -> None:
    spec = monitored("v m/accuracy", m=made("metric_parts.TopK"))
    spec["checkpoints"] |= {"keep_last": 1}
    spec["train"]["stages"][0]["stop_condition"] = made("EpochsCompleted", 4)
    runs = Runs(spec, tmp_path)
    session = load_session(runs.plain)
    found = session.history["v m/accuracy"].tolist()
    best = load_session(runs.plain, checkpoint="best")
    row = session.history[session.history["step"] == best.progress.step].iloc[0]
    assert row["v m/accuracy"] == max(found)

    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.5)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="max", patience=0, factor=0.5
    )
    for value in found:
        plateau.step(value)
    assert session.optimizers["descent"].param_groups[0]["lr"] == plateau.get_last_lr()[0]
    runs.check_cuts([4])


@pytest.mark.parametrize("wrong", ["maximum", "MAX", 1, True, ["max"]])
def test_what_else_it_says_is_a_problem(tmp_path: Path, wrong: Any) -> None:
    spec = measured(m=made("test_better.Said", better=wrong))
    with pytest.raises(ConfigError) as raised:
        create_session(spec, session_dir=tmp_path / "s")
    (problem,) = raised.value.problems
    expected = f'the metric "m": its "better" must be "min" or "max"; found {wrong!r}'
    assert problem.message == expected


def test_an_error_in_it_is_of_the_metric(tmp_path: Path) -> None:
    with pytest.raises(UserCodeError, match='the metric "m"'):
        create_session(measured(m=made("test_better.Raising")), session_dir=tmp_path / "s")


def test_a_monitor_that_is_set_later_gets_its_mode_too(tmp_path: Path) -> None:
    create_session(measured(m=made("metric_parts.TopK")), session_dir=tmp_path / "s")
    best = 'checkpoints.best={"monitor": "v m/rank"}'
    session = load_session(tmp_path / "s", settings=[best])
    assert session.spec.checkpoints.bests[0].mode == "max"


def test_metrics_of_libraries_say_it() -> None:
    accuracy = MulticlassAccuracy(3, average=None)
    collection = MetricCollection(
        {"acc": accuracy, "ece": MulticlassCalibrationError(3)}, prefix="of_"
    )
    assert better_of(MeanSquaredError(), "") == "min"
    assert better_of(collection, "of_acc/1") == "max"
    assert better_of(collection, "of_ece") == "min"
    assert better_of(collection, "") is None
    assert better_of(ClasswiseWrapper(accuracy, labels=["a", "b", "c"]), "a") == "max"
    assert better_of(BootStrapper(MulticlassAccuracy(3)), "std") is None
    assert better_of(Accuracy(), "") == better_of(SequenceAccuracy(), "") == "max"
    assert better_of(MeanValue(), "") is None
