"""What every built-in callback keeps to, alone and beside hostile ones: one table of all of them.

Alone it leaves the training as it is. Whatever cuts the run, and whoever draws, forgets gradients,
raises or stops beside it, the run ends as one that was never cut: state, history and files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import heard_parts
import pytest
from exact_configs import Config, made
from exact_runs import Runs, assert_same_bits
from heard_parts import ARMED, EVENTS
from test_callbacks import assert_same_weights, callback, fit, toys, trained

import torchassistant.callbacks
from torchassistant import create_session, load_session
from torchassistant.callbacks import Callback
from torchassistant.errors import UserCodeError

BUILT_IN: dict[str, Config] = {
    "GradientNorms": {},
    "LearningRateMonitor": {},
    "MLflow": {"folder": "mlflow"},
    "ModelCheckpoint": {"monitor": "val", "keep_last": 2},
    "Samples": {"pipeline": "check"},
    "TensorBoard": {"folder": "tensorboard"},
    "Trackio": {"folder": "trackio"},
}
"""The arguments of every built-in callback."""

HOSTILE = ("Draws", "Forgets", "Keeps")
"""Those of the tests that may stand beside it and leave the weights as they are."""

SILENT = "DrawsSilently"
"""Who draws in an iteration and does not say so changes the weights; whatever cuts, in one way."""

OWN_FILES = ("samples", "weights")
"""Where built-in callbacks keep files in the session. Loggers have a test of their own."""

SLOW = {"MLflow"}
"""MLflow takes ten seconds to make its tables."""

each = pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in BUILT_IN],
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow and SQLAlchemy


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCHASSISTANT_TRUST", "heard_parts")
    ARMED.clear()


def beside(*hostile: str) -> dict[str, Config]:
    """All built-in callbacks but the slow ones, and some hostile ones around them."""
    first = {f"first {name}": callback(name) for name in hostile}
    last = {f"last {name}": callback(name) for name in hostile}
    own = {name: made(name, **kwargs) for name, kwargs in BUILT_IN.items() if name not in SLOW}
    return {**first, **own, **last}


def files_of(session: Path) -> dict[str, bytes]:
    """What built-in callbacks have kept in a session."""
    found = [p for name in OWN_FILES for p in sorted((session / name).rglob("*")) if p.is_file()]
    return {path.relative_to(session).as_posix(): path.read_bytes() for path in found}


def assert_same_end(one: Path, other: Path) -> None:
    assert_same_bits(one, other)
    assert files_of(one) == files_of(other)


def test_every_built_in_callback_takes_part() -> None:
    exported = [getattr(torchassistant.callbacks, n) for n in torchassistant.callbacks.__all__]
    kinds = [k for k in exported if isinstance(k, type) and issubclass(k, Callback)]
    assert {kind.__name__ for kind in kinds} - {"Callback"} == set(BUILT_IN)


@each
def test_alone_it_changes_nothing_and_resumes(name: str, tmp_path: Path) -> None:
    runs = Runs(toys(mine=made(name, **BUILT_IN[name])), tmp_path)
    assert_same_weights(load_session(runs.plain), trained(toys(), tmp_path / "without"))
    session = runs.cut("cut", iteration=5)
    session.train()
    assert_same_end(session.path, runs.plain)


def test_beside_those_that_draw_and_forget_all_of_them_resume(tmp_path: Path) -> None:
    watched = trained(toys(**beside(*HOSTILE)), tmp_path / "watched")
    assert_same_weights(watched, trained(toys(), tmp_path / "without"))
    runs = Runs(toys(**beside(*HOSTILE, SILENT)), tmp_path)
    assert len(files_of(runs.plain)) > 3
    runs.check_all_cuts_in_one()
    assert files_of(tmp_path / "cut everywhere") == files_of(runs.plain)


def test_one_that_raises_in_every_event_is_named_and_costs_nothing(tmp_path: Path) -> None:
    config = toys(**beside("Keeps"), mine=callback("Raises"))
    plain = trained(config, tmp_path / "plain").path
    path = create_session(config, session_dir=tmp_path / "run").path
    # In the order of a run, so that each is still to come when it is its turn.
    for event in [name for name in EVENTS if name != "on_exception"]:
        ARMED.append(event)
        with pytest.raises(UserCodeError, match=f'the callback "mine", in {event}') as raised:
            load_session(path).train()
        assert str(raised.value.__cause__) == f"no {event}"
        ARMED.clear()
    load_session(path).train()
    assert_same_end(path, plain)


# What a process or a checkpoint hears anew depends on how often the run was cut.
@pytest.mark.parametrize("event", heard_parts.ONCE)
def test_one_that_stops_the_training_ends_it_alike_whatever_cuts_it(
    event: str, tmp_path: Path
) -> None:
    at = 1 if event in ("on_stage_start", "on_stage_end", "on_train_end") else 2
    kept: dict[str, Any] = {"norms": made("GradientNorms"), "shown": made("Samples", "check")}
    runs = Runs(toys(fit(2), fit(1), stops=callback("Stops", event, at=at), **kept), tmp_path)
    assert load_session(runs.plain).finished
    if runs.steps > 1:
        session = runs.cut("cut", iteration=runs.steps - 1)
        session.train()
        assert_same_end(session.path, runs.plain)
