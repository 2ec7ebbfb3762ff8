"""Callbacks hear each place of a run once, may do what its event says, and resume to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import heard_parts
import pytest
import torch
from exact_configs import Config, feed, loader, loss, made, node, stage
from exact_configs import config as whole_config
from exact_runs import Cut, Runs, assert_same_bits, last_state, some
from heard_parts import ARMED, EVENTS, HEARD, ONCE

from torchassistant import create_session, load_session
from torchassistant.callbacks import Callback
from torchassistant.errors import ConfigError, DataError, Interrupted, SessionError, UserCodeError
from torchassistant.session import Session
from torchassistant.training import Reporter, StopRequest
from torchassistant.training.events import Part


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


def test_a_kill_after_any_save_undoes_what_came_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = toys(keeps=callback("Keeps"), adds=callback("Adds"), copies=callback("Copies"))
    config["checkpoints"] = {"every_iterations": 1}
    monkeypatch.setattr(heard_parts.Copies, "to", tmp_path / "killed")
    plain = trained(config, tmp_path / "plain").path
    monkeypatch.setattr(heard_parts.Copies, "to", None)
    killed = sorted((tmp_path / "killed").iterdir())
    # Of each iteration, and of each epoch; two of those end a stage that nobody has heard of yet.
    assert len(killed) == 9 + 3
    for path in (killed[number - 1] for number in some(len(killed))):
        load_session(path).train()
        assert_same_bits(path, plain)


@pytest.fixture(scope="module")
def raising(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(toys(mine=callback("Raises")), tmp_path_factory.mktemp("raising"))


@pytest.mark.parametrize("event", [n for n in EVENTS if n != "on_exception"])
def test_what_one_raises_is_told_with_its_name(event: str, raising: Runs) -> None:
    runs = raising
    session = load_session(runs.copy(runs.folder / "created", f"raised in {event}"))
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


@pytest.mark.parametrize(
    ("event", "steps"),
    [
        ("on_train_start", 0),
        ("on_epoch_start", 0),
        ("on_validation_end", 0),
        ("on_iteration_end", 1),
        ("on_epoch_end", 3),
    ],
)
def test_a_stop_beside_rows_within_epochs(event: str, steps: int, tmp_path: Path) -> None:
    validate = {"every_iterations": 1, "at_start": True}
    stopping = callback("Stops", event, at=1)
    config = toys(fit(2, validate=validate), fit(1), stops=stopping, adds=callback("Adds"))
    config["log"] = {"every_iterations": 2}
    session = trained(config, tmp_path / "run")
    assert session.finished
    assert session.history["step"].tolist() == list(range(steps + 1))
    assert session.history["val"].notna().all()
    assert load_session(session.path).finished


def test_a_validation_that_was_left_to_save_is_heard_once(tmp_path: Path) -> None:
    class Asks(Reporter):
        def __init__(self) -> None:
            self.stop = StopRequest()
            self.batches = 0

        def batch_evaluated(self) -> None:
            self.batches += 1
            if self.batches in (1, 4):
                self.stop.ask_save()

    session = create_session(toys(keeps=callback("Keeps")), session_dir=tmp_path / "run")
    asks = Asks()
    session.train(asks, asks.stop)
    plain = trained(toys(keeps=callback("Keeps")), tmp_path / "plain")
    assert asks.batches > 6
    assert_same_weights(session, plain)
    assert session.callbacks["keeps"].state_dict() == plain.callbacks["keeps"].state_dict()


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
        trained(toys(mine=callback("AddsUnknown", "on_epoch_end")), tmp_path / "run")
    with pytest.raises(DataError, match=message) as raised:
        trained(toys(mine=callback("AddsUnknown", "on_step_end")), tmp_path / "other")
    assert len(str(raised.value).splitlines()) == 1
    with pytest.raises(DataError, match='the callback "mine" adds a value of the type str for'):
        trained(toys(mine=callback("AddsUnknown", "on_epoch_end", "norm")), tmp_path / "text")


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


# Every way to step


def steps(kind: str, **callbacks: Config) -> Config:
    """A run whose gradients come from several batches, from closures, in turns, in own steps."""
    whole = toys(fit(2), **callbacks)
    (fitting,) = whole["train"]["stages"]
    initialize = whole["initialize"]
    if kind == "accumulated":
        initialize["pipelines"]["fit"]["gradient_accumulation"] = 2
    elif kind == "closure":
        spec = next(d["spec"] for d in initialize["definitions"] if d["group"] == "optimizers")
        spec |= made("LBFGS", lr=0.1, max_iter=3)
        spec["args"] = []
    elif kind == "turns":
        fitting["training_pipelines"] = [{"pipeline": "fit", "repeat": 2}]
    elif kind == "own":
        initialize["pipelines"]["fit"]["train_step"] = {"factory_fn": "heard_parts.accumulates"}
    elif kind == "fp16":
        whole["precision"] = "fp16"
    return whole


KINDS = ["accumulated", "closure", "turns", "own", "fp16"]


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_changed_whatever_computes_them(kind: str, tmp_path: Path) -> None:
    # Without a norm to clip, half of each gradient is half of the loss.
    config = steps(kind, halves=callback("Halves"))
    halved = trained(config, tmp_path / "halved")
    plain = trained(steps(kind), tmp_path / "plain")
    assert not all(map(torch.equal, weights_of(halved), weights_of(plain)))
    if kind not in ("own", "fp16"):
        weighted = steps(kind)
        weighted["initialize"]["pipelines"]["fit"]["losses"][0]["weight"] = 0.5
        assert_same_weights(halved, trained(weighted, tmp_path / "weighted"))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_none_after_any_step(kind: str, tmp_path: Path) -> None:
    config = steps(kind, forgets=callback("Forgets"))
    forgetting = trained(config, tmp_path / "forgetting")
    if kind != "own":  # that adds up its gradients by itself
        assert_same_weights(forgetting, trained(steps(kind), tmp_path / "plain"))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_step_resumes(kind: str, tmp_path: Path) -> None:
    config = steps(kind, keeps=callback("Keeps"), adds=callback("Adds"), hears=callback("Hears"))
    runs = Runs(config, tmp_path)
    runs.check_all_cuts_in_one()
    heard = load_session(runs.plain).callbacks["hears"].counts
    assert heard == ({"stepped own": 3} if kind == "own" else {})


def test_steps_show_their_turn_and_their_batches(tmp_path: Path) -> None:
    seen: list[tuple[Any, ...]] = []

    class Looks(Callback):
        def on_step_start(self, event: Any) -> None:
            assert [*event.frames] == ["input"]
            seen.append((event.iteration, event.pipeline, event.repeat, len(event.batches)))

        def on_step_end(self, event: Any) -> None:
            y_hat, y = (event.frames["run"][name] for name in ("y_hat", "y"))
            expected = torch.nn.functional.mse_loss(y_hat.detach(), y)
            assert event.losses == {"loss": expected.item()}
            assert [*event.optimizers] == ["sgd"]
            assert event.models["net"] is event.session.models["net"]

        def on_validation_batch_end(self, event: Any) -> None:
            assert event.frames["run"]["y_hat"].requires_grad is False
            seen.append((event.pipeline, event.batch))

        def on_validation_end(self, event: Any) -> None:
            assert [*event.results] == ["val"]

    session = create_session(steps("turns"), session_dir=tmp_path / "run")
    session.train(callbacks=[Looks()])
    of_epochs = [seen[:5], seen[5:]]
    for first, found in zip((1, 3), of_epochs, strict=True):
        assert found == [
            *((first, "fit", 0, 1), (first, "fit", 1, 1), (first + 1, "fit", 0, 1)),
            *(("check", 0), ("check", 1)),
        ]


# As argus has them


def test_a_monitor_checkpoint_of_ones_own(tmp_path: Path) -> None:
    folder = tmp_path / "best"
    folder.mkdir()
    mine = callback("MonitorCheckpoint", str(folder))
    session = trained(toys(fit(4), best=mine), tmp_path / "run")
    values = session.history["val"].tolist()
    better = [i for i, value in enumerate(values) if value < min([*values[:i], float("inf")])]
    assert sorted(path.name for path in folder.iterdir()) == [
        f"model-{i + 1:03d}-{values[i]:.6f}.safetensors" for i in better
    ]


def test_an_early_stopping_of_ones_own(tmp_path: Path) -> None:
    config = toys(fit(30), fit(1), stops=callback("EarlyStopping", "val", 1))
    runs = Runs(config, tmp_path)
    rows = load_session(runs.plain).history["val"].tolist()
    assert rows[-1] >= min(rows[:-1])
    assert rows[:-1] == sorted(rows[:-1], reverse=True)
    runs.check_cuts([runs.steps - 4, runs.steps])


# Signals, checkpoints, and changes


def test_a_signal_comes_as_interrupted(tmp_path: Path) -> None:
    heard: list[BaseException] = []

    class Listens(heard_parts.Keeps):
        def on_exception(self, event: Any) -> None:
            heard.append(event.error)
            self.counts["lost"] = 1

    session = create_session(toys(), session_dir=tmp_path / "run")
    cut, listening = Cut(iteration=2), Listens()
    with pytest.raises(Interrupted):
        session.train(cut, cut.stop, callbacks=[listening])
    assert [type(error) for error in heard] == [Interrupted]
    assert load_session(session.path).progress.step == 2
    # What it noted then is no part of the run, which goes on in this process too.
    assert "lost" not in listening.counts
    session.train(callbacks=[listening])
    plain = create_session(toys(), session_dir=tmp_path / "plain")
    plain.train(callbacks=[Listens()])
    assert_same_bits(session.path, plain.path)


def test_a_checkpoint_is_there_when_it_is_heard_of(tmp_path: Path) -> None:
    found: list[tuple[int, bool]] = []

    class Looks(Callback):
        def on_checkpoint(self, event: Any) -> None:
            found.append((event.step, (event.path / "manifest.json").is_file()))

    config = toys()
    config["checkpoints"] = {"every_iterations": 2, "every_epochs": 2}
    session = create_session(config, session_dir=tmp_path / "run")
    session.train(callbacks=[Looks()])
    assert found == [(2, True), (4, True), (6, True), (6, True), (8, True), (9, True)]


def test_they_may_change_in_a_session(tmp_path: Path) -> None:
    config = toys(fit(2), fit(1), named=["keeps"], keeps=callback("Keeps"), adds=callback("Adds"))
    session = create_session(config, session_dir=tmp_path / "run")
    cut = Cut(iteration=4)
    with pytest.raises(Interrupted):
        session.train(cut, cut.stop)
    changed = load_session(session.path, settings=['train.callbacks=["adds"]'])
    changed.train()
    assert "steps" not in changed.rows.rows(0)[1]
    assert changed.rows.rows(1)[0]["steps"] == 9
    # It was not called any more, and is as it was.
    assert load_session(session.path).callbacks["keeps"].counts["on_iteration_end"] == 4


def test_a_profile_names_them(tmp_path: Path) -> None:
    parts: set[tuple[str, str]] = set()

    class Parts(Reporter):
        def part_started(self, part: Part, name: str) -> None:
            parts.add((part.value, name))

    session = create_session(toys(fit(1), keeps=callback("Keeps")), session_dir=tmp_path / "run")
    session.train(Parts())
    assert ("callback", "keeps") in parts


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


def test_a_state_that_does_not_fit_is_told(tmp_path: Path) -> None:
    session = create_session(toys(), session_dir=tmp_path / "run")
    cut, one = Cut(iteration=2), heard_parts.Keeps()
    with pytest.raises(Interrupted):
        session.train(cut, cut.stop, callbacks=[one])
    other = heard_parts.EarlyStopping("val", 1)
    other.name = "Keeps"
    message = 'the stored state of the callback "Keeps" does not fit its code'
    with pytest.raises(SessionError, match=message):
        load_session(session.path).train(callbacks=[other])


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
    assert "is no torchassistant.callbacks.Callback" in wrong(toys(mine=callback("Net")), tmp_path)
    assert "callback" in wrong(toys(mine=made("torchassistant.callbacks.Callback")), tmp_path)


def test_columns_do_not_clash(tmp_path: Path) -> None:
    both = toys(adds=callback("Adds"), more=callback("Adds"))
    message = 'the callback "more" adds "steps", which is a column of the callback "adds" already'
    assert f"train.stages[0].callbacks: {message}" in wrong(both, tmp_path)
