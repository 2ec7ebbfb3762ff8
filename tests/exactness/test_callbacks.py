"""Callbacks hear each place of a run once, may do what its event says, and resume to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import heard_parts
import pytest
import torch
from exact_configs import Config, feed, loader, loss, made, node, stage
from exact_configs import config as whole_config
from exact_runs import Runs, assert_same_bits, last_state
from heard_parts import ARMED, EVENTS, HEARD, ONCE

from torchassistant import create_session, load_session
from torchassistant.callbacks import Callback
from torchassistant.errors import ConfigError, DataError, UserCodeError
from torchassistant.session import Session


def callback(name: str, *args: Any, **kwargs: Any) -> Config:
    return made(f"heard_parts.{name}", *args, **kwargs)


def toys(*stages: Config, named: list[str] | None = None, **callbacks: Config) -> Config:
    """A net with a dropout, over 3 batches an epoch; validation over 2."""
    groups = {
        "datasets": {"points": callback("Points", 10), "others": callback("Points", 7, seed=1)},
        "loader_factories": {
            "batches": loader("points", shuffle=True),
            "held_out": loader("others"),
        },
        "models": {"net": callback("Net")},
        "optimizers": {"sgd": {**made("SGD", lr=0.1, momentum=0.9), "model": "net"}},
        "losses": {"mse": {**made("MSELoss"), "inputs": ["y_hat", "y"]}},
        "gradient_clippers": {"short": {"model": "net", "clip_norm": 0.7}},
        "batch_processors": {"run": {"neural_graph": [node("net", "x", "y_hat", "sgd")]}},
        "callbacks": callbacks,
    }
    pipelines = {
        "fit": {
            "input_factories": [feed("batches", "x y")],
            "losses": [loss("mse", loss_display_name="loss")],
        },
        "check": {
            "input_factories": [feed("held_out", "x y")],
            "losses": [loss("mse", loss_display_name="val")],
        },
    }
    whole = whole_config(groups, pipelines, *(stages or (fit(2), fit(1))))
    whole["train"]["callbacks"] = list(callbacks) if named is None else named
    return whole


def fit(epochs: int, **more: Any) -> Config:
    return stage("fit", epochs=epochs, validation=["check"], **more)


def trained(config: Config, path: Path) -> Session:
    session = create_session(config, session_dir=path)
    session.train()
    return session


def weights_of(session: Session) -> list[torch.Tensor]:
    return list(session.models["net"].state_dict().values())


def assert_same_weights(one: Session, other: Session) -> None:
    for mine, theirs in zip(weights_of(one), weights_of(other), strict=True):
        assert torch.equal(mine, theirs)


@pytest.fixture(autouse=True)
def _fresh() -> None:
    HEARD.clear()
    ARMED.clear()


def test_events_come_in_the_order_of_the_loop(tmp_path: Path) -> None:
    trained(toys(fit(1), notes=callback("Notes")), tmp_path / "run")
    iteration = [
        "on_iteration_start",
        "on_step_start",
        "on_backward_end",
        "on_step_end",
        "on_iteration_end",
    ]
    assert [name for name, _ in HEARD] == [
        *("on_train_start", "on_stage_start", "on_epoch_start"),
        *iteration * 3,
        *("on_validation_start", *["on_validation_batch_end"] * 2, "on_validation_end"),
        *("on_epoch_end", "on_checkpoint", "on_stage_end", "on_train_end"),
    ]
    assert {step for name, step in HEARD if name == "on_iteration_end"} == {1, 2, 3}


@pytest.mark.parametrize("name", ["Keeps", "Draws", "DrawsSilently", "Forgets", "Adds", "Halves"])
def test_a_run_that_is_cut_goes_on_to_the_bit(name: str, tmp_path: Path) -> None:
    runs = Runs(toys(hostile=callback(name)), tmp_path)
    runs.check_cuts()
    runs.check_cuts_in_validation(2)


@pytest.mark.parametrize("name", ["Keeps", "Draws", "Forgets"])
def test_who_only_watches_changes_nothing(name: str, tmp_path: Path) -> None:
    watched = trained(toys(watch=callback(name)), tmp_path / "watched")
    assert_same_weights(watched, trained(toys(), tmp_path / "plain"))


def test_each_event_is_heard_once_whatever_cuts_the_run(tmp_path: Path) -> None:
    runs = Runs(toys(keeps=callback("Keeps")), tmp_path)
    runs.check_all_cuts_in_one()
    counts = load_session(tmp_path / "cut everywhere").callbacks["keeps"].counts
    assert counts == {
        **dict.fromkeys(ONCE, 3),
        **dict.fromkeys((n for n in ONCE if n.startswith(("on_iter", "on_step", "on_back"))), 9),
        "on_validation_batch_end": 6,
        "on_stage_start": 2,
        "on_stage_end": 2,
        "on_train_end": 1,
    }


@pytest.mark.parametrize("event", [n for n in EVENTS if n != "on_exception"])
def test_what_one_raises_is_told_with_its_name(event: str, tmp_path: Path) -> None:
    runs = Runs(toys(mine=callback("Raises")), tmp_path)
    session = load_session(runs.copy(tmp_path / "created", "raised"))
    ARMED.append(event)
    with pytest.raises(UserCodeError, match=f'the callback "mine", in {event}') as raised:
        session.train()
    assert str(raised.value.__cause__) == f"no {event}"
    ARMED.clear()
    load_session(session.path).train()
    assert_same_bits(session.path, runs.plain)


def test_what_it_raises_of_an_exception_hides_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = create_session(toys(mine=callback("Raises")), session_dir=tmp_path / "run")
    ARMED.extend(["on_exception", "on_epoch_end"])
    with pytest.raises(UserCodeError, match="in on_epoch_end"):
        session.train()
    assert 'the callback "mine", in on_exception: ArithmeticError' in capsys.readouterr().err


@pytest.mark.parametrize("event", [n for n in EVENTS if n != "on_exception"])
def test_one_may_stop_the_training_anywhere(event: str, tmp_path: Path) -> None:
    at = 1 if event in ("on_train_start", "on_stage_start", "on_train_end", "on_stage_end") else 2
    stopping = callback("Stops", event, at=at)
    session = trained(toys(fit(3), fit(1), stops=stopping), tmp_path / "run")
    assert session.finished
    steps = session.progress.step
    expected = {"on_train_start": 0, "on_stage_start": 0, "on_stage_end": 9, "on_train_end": 12}
    of_epochs = dict.fromkeys(("on_validation_end", "on_epoch_end", "on_checkpoint"), 6)
    # One that is asked within the second epoch, or between two, ends it there.
    expected |= of_epochs | {"on_epoch_start": 3, "on_validation_start": 6}
    assert steps == expected.get(event, 3 if event == "on_validation_batch_end" else 2)
    rows = session.history
    assert rows["step"].iloc[-1] == steps
    assert rows["val"].notna().all()
    again = load_session(session.path)
    again.train()
    assert again.progress.step == steps


@pytest.mark.parametrize("event", ["on_step_start", "on_iteration_end", "on_validation_end"])
def test_a_stop_survives_a_cut(event: str, tmp_path: Path) -> None:
    runs = Runs(toys(fit(3), fit(1), stops=callback("Stops", event, "stage")), tmp_path)
    runs.check_cuts()
    runs.check_cuts_in_validation(3)
    assert len(load_session(runs.plain).rows.rows(1)) == 1


def test_columns_stand_in_the_rows(tmp_path: Path) -> None:
    session = trained(toys(adds=callback("Adds")), tmp_path / "run")
    history = session.history
    assert history["steps"].tolist() == [3, 6, 9]
    assert (history["norm"] > 0).all()
    assert history["nothing"].isna().all()


def test_values_may_be_listened_to(tmp_path: Path) -> None:
    config = toys(adds=callback("Adds"))
    config["train"]["stages"][0]["stop_condition"] = made("TargetReached", "steps", 6, mode="max")
    assert trained(config, tmp_path / "run").history["epoch"].tolist() == [1, 2, 3]
    config["train"]["stages"][0]["stop_condition"] = made("TargetReached", "stps", 6, mode="max")
    with pytest.raises(ConfigError, match='no row has "stps"; did you mean "steps"'):
        create_session(config, session_dir=tmp_path / "wrong")


def test_a_column_that_is_not_declared_is_an_error(tmp_path: Path) -> None:
    message = 'the callback "mine" adds "nrom", which is none of its columns; did you mean "norm"'
    with pytest.raises(DataError, match=message):
        trained(toys(mine=callback("AddsUnknown")), tmp_path / "run")


def test_gradients_may_be_changed_before_they_are_clipped(tmp_path: Path) -> None:
    config = toys(fit(2), halves=callback("Halves"))
    session = create_session(config, session_dir=tmp_path / "run")
    plain = create_session(toys(fit(2)), session_dir=tmp_path / "plain")
    session.train()
    # Half of a loss has half the gradients.
    plain.train(callbacks=[heard_parts.Halves()])
    assert_same_weights(session, plain)
    weighted = toys(fit(2))
    weighted["initialize"]["pipelines"]["fit"]["losses"][0]["weight"] = 0.5
    assert_same_weights(session, trained(weighted, tmp_path / "weighted"))


def test_their_time_has_a_share_of_its_own(tmp_path: Path) -> None:
    from torchassistant.training import Reporter

    class Shares(Reporter):
        def epoch_timed(self, shares: dict[str, float]) -> None:
            self.shares = shares

    reporter = Shares()
    session = create_session(toys(fit(1), slow=callback("Slow")), session_dir=tmp_path / "run")
    session.train(reporter)
    assert reporter.shares["callbacks"] > 0.5 > reporter.shares["forward"]
    assert sum(reporter.shares.values()) == pytest.approx(1)


def test_an_event_of_ones_own_is_heard(tmp_path: Path) -> None:
    runs = Runs(toys(emits=callback("Emits"), hears=callback("Hears")), tmp_path)
    runs.check_cuts([2, 5])
    session = load_session(runs.plain)
    assert session.callbacks["hears"].counts == {"stepped fit": 9}
    assert session.history["heard"].tolist() == [3, 6, 9]
    session.emit("stepped", "nobody trains")


def test_order_and_stages_are_those_of_the_config(tmp_path: Path) -> None:
    heard: list[str] = []

    class Says(Callback):
        def __init__(self, name: str) -> None:
            self.name = name

        def on_epoch_end(self, event: Any) -> None:
            heard.append(event.name)

    config = toys(fit(1, callbacks=["b"]), fit(1), named=["c", "a"], a=None, b=None, c=None)
    for definition in config["initialize"]["definitions"]:
        if definition["group"] == "callbacks":
            definition["spec"] = callback("Notes")
    session = create_session(config, session_dir=tmp_path / "run")
    session.callbacks.update({name: Says(name) for name in "abc"})
    session.train(callbacks=[Says("given")])
    assert heard == [*("c", "a", "b", "given"), *("c", "a", "given")]


# Those that train() is given


def test_given_ones_resume_and_are_missed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = create_session(toys(), session_dir=tmp_path / "plain")
    plain.train(callbacks=[heard_parts.Keeps(), heard_parts.Adds()])
    session = create_session(toys(), session_dir=tmp_path / "cut")
    ARMED.append("on_epoch_end")
    with pytest.raises(UserCodeError):
        session.train(callbacks=[heard_parts.Keeps(), heard_parts.Adds(), heard_parts.Raises()])
    ARMED.clear()
    capsys.readouterr()
    resumed = load_session(session.path)
    resumed.train(callbacks=[heard_parts.Keeps(), heard_parts.Adds()])
    assert_same_bits(plain.path, resumed.path)


def test_a_given_one_that_is_missing_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = create_session(toys(), session_dir=tmp_path / "run")
    session.train(callbacks=[heard_parts.Keeps()])
    kept = last_state(session.path)["state.json"]
    again = load_session(session.path)
    again.train()
    assert 'the callback "Keeps", which train() was given before, is not given now' in (
        capsys.readouterr().err
    )
    assert last_state(session.path)["state.json"] == kept


def test_what_is_given_must_be_callbacks_of_different_names(tmp_path: Path) -> None:
    session = create_session(toys(mine=callback("Notes")), session_dir=tmp_path / "run")
    with pytest.raises(ConfigError, match="an object of dict is none"):
        session.train(callbacks=[{}])  # type: ignore[list-item]
    mine = heard_parts.Notes()
    mine.name = "mine"
    with pytest.raises(ConfigError, match='two callbacks of this run are named "mine"'):
        session.train(callbacks=[mine])


# Wrong uses


def wrong(config: Config, tmp_path: Path) -> str:
    with pytest.raises(ConfigError) as raised:
        create_session(config, session_dir=tmp_path / "wrong")
    return str(raised.value)


def test_wrong_names_are_problems(tmp_path: Path) -> None:
    mine = callback("Notes")
    assert 'train.callbacks[0]: no callback is named "mien"; did you mean "mine"' in wrong(
        toys(named=["mien"], mine=mine), tmp_path
    )
    assert 'train.callbacks[1]: "mine" is listed twice' in wrong(
        toys(named=["mine", "mine"], mine=mine), tmp_path
    )
    assert 'train.stages[0].callbacks[0]: "mine" is among "train.callbacks"' in wrong(
        toys(fit(1, callbacks=["mine"]), mine=mine), tmp_path
    )


def test_wrong_classes_are_problems(tmp_path: Path) -> None:
    assert "is not a callback" in wrong(toys(mine=callback("Net")), tmp_path)
    assert "callback" in wrong(toys(mine=made("torchassistant.callbacks.Callback")), tmp_path)


def test_columns_do_not_clash(tmp_path: Path) -> None:
    both = toys(adds=callback("Adds"), more=callback("Adds"))
    message = 'the callback "more" adds "steps", which is a column of the callback "adds" already'
    assert f"train.stages[0].callbacks: {message}" in wrong(both, tmp_path)
