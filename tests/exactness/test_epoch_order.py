"""``session.order``: the examples that were met, as a listener of the run has noted them."""

from __future__ import annotations

import signal
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from exact_configs import Config, feed, loader, loss, made, one_model, part, stage, trained_by
from exact_parts import Points
from test_turns_are_exact import entry, two
from torch.utils.data import IterableDataset, Sampler

from torchassistant import create_session, load_session
from torchassistant.errors import ConfigError, Interrupted, SessionError
from torchassistant.session import Session
from torchassistant.training import Live, Reporter, StopRequest

HERE = __name__


class Backwards(Sampler[int]):
    """The indices in falling order, or, once it keeps that, from where it has stopped."""

    def __init__(self, source: Any, keeps: bool = False) -> None:
        self.source, self.keeps, self.passes = source, keeps, 0

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[int]:
        self.passes += self.keeps
        return iter(range(len(self.source) - 1, -1, -1))


class Stream(IterableDataset[Any]):
    """The points without a length."""

    def __iter__(self) -> Iterator[Any]:
        points = Points(6)
        yield from (points[index] for index in range(len(points)))


class Noting(Reporter):
    """Finds the examples of each batch in training, by epoch and pipeline."""

    def __init__(self, session: Session, until: int | None = None) -> None:
        self.session, self.until = session, until
        self.met: defaultdict[tuple[int, str], list[list[int]]] = defaultdict(list)
        self.stop = StopRequest()

    def batch_loaded(self, pipeline: Any, loader: str, batch: Any) -> None:
        points = pipeline.inputs[0].factory.dataset
        rows = [int((points.x == row).all(1).nonzero()[0, 0]) for row in batch[0]]
        self.met[self.session.progress.epoch + 1, pipeline.name].append(rows)

    def iteration_done(self, live: Live) -> None:
        if self.session.progress.step == self.until:
            self.stop.signum = signal.SIGINT


def noted(config: Config, folder: Path, until: int | None = None) -> tuple[Session, Noting]:
    session = create_session(config, folder / "run", trust=[HERE, "exact_parts"], preflight=False)
    noting = Noting(session, until)
    if until is None:
        session.train(noting)
    else:
        with pytest.raises(Interrupted):
            session.train(noting, noting.stop)
    return session, noting


def assert_told(session: Session, noting: Noting) -> None:
    assert noting.met
    for (epoch, pipeline), met in noting.met.items():
        assert session.order(pipeline, epoch) == met, (epoch, pipeline)


STAGES: dict[str, list[Config]] = {
    "plain": [stage("few", "many", epochs=3)],
    "stages": [stage("few"), stage("many", epochs=1), stage("few", "many")],
    "turns": [stage(entry("few", repeat=2), entry("many", every=2), epoch_length="many")],
    "restart": [stage(entry("few", when_exhausted="restart"), "many", epochs=3)],
    "counted": [stage(entry("few"), entry("many", every=2), epoch_length=5, epochs=4)],
    "shortest": [stage("few", "many", epoch_length="shortest", epochs=3)],
}


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("accumulated", [1, 2])
def test_what_training_has_met(tmp_path: Path, name: str, accumulated: int) -> None:
    assert_told(*noted(two(*STAGES[name], accumulated=accumulated), tmp_path))


def test_the_epoch_at_hand(tmp_path: Path) -> None:
    session, noting = noted(two(*STAGES["restart"]), tmp_path, until=10)
    assert_told(session, noting)
    again = load_session(tmp_path / "run", trust=[HERE, "exact_parts"])
    assert again.order("many", 2) == noting.met[2, "many"]
    with pytest.raises(SessionError, match="epoch 3 has not begun; there are 1 to 2"):
        session.order("many", 3)


def with_sampler(**kwargs: Any) -> Config:
    sampler = made(f"{HERE}.Backwards", "points", **kwargs)
    return one_model({"loader_factories": {"batches": loader("points", sampler=sampler)}})


def test_a_sampler(tmp_path: Path) -> None:
    session, noting = noted(with_sampler(), tmp_path)
    assert_told(session, noting)
    assert session.order("fit", 1) == noting.met[1, "fit"]


def test_a_sampler_that_goes_forward_only(tmp_path: Path) -> None:
    session, _ = noted(with_sampler(keeps=True), tmp_path)
    (port,) = session.pipelines["fit"].training_data().ports
    before = port.loader.batch_sampler.sampler.passes  # type: ignore[union-attr]
    with pytest.raises(SessionError, match='the order of "batches" is not known afterwards'):
        session.order("fit", 1)
    assert port.loader.batch_sampler.sampler.passes == before == 2  # type: ignore[union-attr]


def validated() -> Config:
    groups = {
        "datasets": {
            "points": part("Points", 12),
            "others": part("Points", 10, seed=1),
            "stream": made(f"{HERE}.Stream"),
        },
        "splits": {"parts": {"dataset_name": "others", "ratio": [0.5, 0.5]}},
        "loader_factories": {
            "batches": loader("points", shuffle=True),
            "tests": loader("parts.val", batch_size=2),
            "streamed": loader("stream", batch_size=3),
        },
        "optimizers": {"descent": trained_by(made("SGD", lr=0.05), "net")},
    }
    check = {
        "input_factories": [feed("tests", "x y")],
        "losses": [loss("error", loss_display_name="held out")],
    }
    streamed = {
        "input_factories": [feed("streamed", "x y")],
        "losses": [loss("error", loss_display_name="streamed")],
    }
    one = stage("fit", epochs=2, validation=["check", "streamed"], eval_steps={"check": 2})
    return one_model(
        groups, {**one, "validate": {"every_iterations": 2}}, check=check, streamed=streamed
    )


def test_evaluation(tmp_path: Path) -> None:
    session, noting = noted(validated(), tmp_path)
    assert_told(session, noting)
    rows = session.history[session.history["epoch"] == 1]
    indices = [row["index"] for row in session.predict("check")]
    once = [indices[:2], indices[2:4]]
    assert session.order("check", 1) == once * int(rows["held out"].notna().sum())
    assert session.order("streamed", 1) is None


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("fitt", 1), 'no pipeline is named "fitt"; did you mean "fit"'),
        (("fit", 1, "inputs"), 'has no port "inputs"; did you mean "input"'),
    ],
)
def test_mistakes(tmp_path: Path, asked: Any, said: str) -> None:
    session = create_session(one_model(), tmp_path / "run", trust=["exact_parts"], preflight=False)
    with pytest.raises(SessionError, match="epoch 1 has not begun; there are none"):
        session.order("fit", 1)
    session.train()
    with pytest.raises(ConfigError, match=said):
        session.order(*asked)
