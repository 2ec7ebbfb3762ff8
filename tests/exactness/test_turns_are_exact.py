"""Pipelines that run in some iterations only, several times, pass after pass, by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from exact_configs import (
    Config,
    Twin,
    assert_equal,
    feed,
    fit,
    loader,
    loss,
    made,
    one_model,
    part,
    stage,
    trained_by,
    weights,
)
from exact_parts import Points
from exact_runs import Cut, Runs, assert_same_bits
from torch.optim import SGD

from torchassistant import create_session, load_session
from torchassistant.data import derived
from torchassistant.data.batch_sampler import permutation
from torchassistant.errors import ConfigError, DataError, Interrupted
from torchassistant.training import Progress, Reporter, steps_of_optimizer

SEED = 11
LENGTHS = {"few": 10, "many": 26}
"""Examples: 3 batches and 7."""


def entry(pipeline: str, **more: Any) -> Config:
    """An entry of ``training_pipelines``."""
    return {"pipeline": pipeline, **more}


def two(*stages: Config, workers: int = 0, accumulated: int = 1) -> Config:
    """Two pipelines over data of unequal lengths that train one model with one optimizer."""
    groups = {
        "datasets": {name: part("Points", count) for name, count in LENGTHS.items()},
        "loader_factories": {
            name: loader(name, shuffle=True, num_workers=workers) for name in LENGTHS
        },
    }
    fits = {
        name: {
            "input_factories": [feed(name, "x y")],
            "losses": [loss("error", loss_display_name=f"{name} error")],
            "gradient_accumulation": accumulated,
        }
        for name in LENGTHS
    }
    whole = one_model(groups, *stages, **fits)
    del whole["initialize"]["pipelines"]["fit"]
    definitions = whole["initialize"]["definitions"]
    definitions[:] = [d for d in definitions if d["name"] not in ("points", "batches")]
    return whole


@dataclass
class Passes:
    """The batches of a pipeline by hand, pass after pass."""

    name: str
    number: int = -1
    at: int = 0
    ended: int = 0

    def __post_init__(self) -> None:
        self.points = Points(LENGTHS[self.name])
        self.seed = derived(SEED, self.name, "input")
        self.batches: list[Any] = []

    def begin(self, number: int) -> None:
        order = permutation(len(self.points), derived(self.seed, "order", number))
        self.batches = [(self.points.x[rows], self.points.y[rows]) for rows in order.split(4)]
        self.number, self.at = number, 0

    @property
    def is_through(self) -> bool:
        return self.ended > 0 or self.at == len(self.batches)


def by_hand(entries: list[Config], length: str | int, epochs: int) -> Iterator[Any]:
    """The batches in the order in which they are met; None stands at the end of an epoch."""
    passes = {one["pipeline"]: Passes(one["pipeline"]) for one in entries}
    default = "restart" if isinstance(length, int) else "wait"
    restarting = {e["pipeline"] for e in entries if e.get("when_exhausted", default) == "restart"}
    ends_by = [name for name in passes if name not in restarting] or list(passes)
    stage_number = 0
    for epoch in range(epochs):
        for one in passes.values():
            one.ended = 0
            if not isinstance(length, int):
                one.begin(max(epoch, one.number + 1))
            elif one.number < 0:
                one.begin(0)
        number = 0
        while True:
            through = [passes[name].is_through for name in ends_by]
            if length == number or (length == "longest" and all(through)):
                break
            if length == "shortest" and any(through):
                break
            if length in passes and passes[str(length)].is_through:
                break
            for e in entries:
                counted = number if e.get("count_in") == "epoch" else stage_number
                one = passes[e["pipeline"]]
                if counted < e.get("from", 0) or counted % e.get("every", 1):
                    continue
                for _ in range(e.get("repeat", 1)):
                    if one.at == len(one.batches):
                        if one.name not in restarting:
                            break
                        one.begin(one.number + 1)
                        one.ended += 1
                    yield one.batches[one.at]
                    one.at += 1
            number += 1
            stage_number += 1
        yield None


CASES: dict[str, tuple[list[Config], str | int]] = {
    "several steps": ([entry("few"), entry("many", repeat=3)], "longest"),
    "fewer where fewer are left": ([entry("few", repeat=2), entry("many", repeat=5)], "longest"),
    "not in every iteration": ([entry("many"), entry("few", every=3)], "longest"),
    "not from the beginning": ([entry("many"), entry("few", **{"from": 5})], "longest"),
    "both, in the epoch": (
        [entry("many", every=2, count_in="epoch", **{"from": 3}), entry("few")],
        "longest",
    ),
    "both, in the stage": ([entry("many"), entry("few", every=2, **{"from": 9})], "longest"),
    "passes join": ([entry("few", repeat=2, when_exhausted="restart"), entry("many")], "longest"),
    "all begin anew": (
        [entry("few", when_exhausted="restart"), entry("many", when_exhausted="restart")],
        "longest",
    ),
    "the shortest": ([entry("many", repeat=2), entry("few")], "shortest"),
    "the shortest of those that wait": (
        [entry("few", when_exhausted="restart"), entry("many")],
        "shortest",
    ),
    "a name": ([entry("many"), entry("few", when_exhausted="restart")], "many"),
    "the name of what begins anew": (
        [entry("many"), entry("few", repeat=2, when_exhausted="restart")],
        "few",
    ),
    "a number": ([entry("many", repeat=2), entry("few")], 5),
    "a number, and one waits": ([entry("few", when_exhausted="wait"), entry("many")], 2),
}


@pytest.mark.parametrize("name", CASES)
def test_turns(tmp_path: Path, name: str) -> None:
    entries, length = CASES[name]
    twin = Twin(two(stage(*entries, epochs=3, epoch_length=length)), tmp_path)
    net = twin.models["net"]
    batches = [batch for batch in by_hand(entries, length, 3) if batch is not None]
    fit(net, SGD(net.parameters(), lr=0.05), batches, epochs=1)
    twin.check()


@pytest.mark.parametrize("name", ["passes join", "a number", "both, in the stage"])
def test_a_cut_at_every_iteration(tmp_path: Path, name: str) -> None:
    entries, length = CASES[name]
    runs = Runs(two(stage(*entries, epochs=2, epoch_length=length)), tmp_path)
    runs.check_all_cuts_in_one()


DRAWN = {
    "longest": ([entry("few"), entry("many", repeat=2)], "longest"),
    "not in every iteration": ([entry("few"), entry("many", every=2)], "longest"),
    "shortest": ([entry("few"), entry("many", repeat=2)], "shortest"),
    "a name": ([entry("few", when_exhausted="restart"), entry("many")], "many"),
    "a number": ([entry("many", repeat=3), entry("few")], 3),
}


@pytest.mark.parametrize("name", DRAWN)
def test_cuts_with_samplers_that_keep_state(tmp_path: Path, name: str) -> None:
    """Nobody knows their length before their end, and they go on from pass to pass."""
    turns, length = DRAWN[name]
    whole = two(stage(*turns, epochs=2, epoch_length=length))
    for definition in whole["initialize"]["definitions"]:
        if definition["group"] == "loader_factories":
            sampler = made("midway_parts.Marching", LENGTHS[definition["name"]])
            definition["spec"]["kwargs"] = {"batch_size": 4, "sampler": sampler}
        elif definition["group"] == "datasets":
            definition["spec"] = part("Noisy", LENGTHS[definition["name"]])
    Runs(whole, tmp_path).check_cuts()


class CutInTurn(Cut):
    """Asks for an end in the middle of a turn, so that the run stops where it next waits."""

    def step_finished(self, pipeline: Any) -> None:
        self._ask_once()

    def iteration_done(self, live: Any) -> None:
        """Nothing is asked for here."""

    def _ask_once(self) -> None:
        self.iteration -= 1
        self._ask(self.iteration)


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_a_cut_within_a_turn(tmp_path: Path, steps: int) -> None:
    """With workers, a run that waits for a batch is left at once."""
    turns = [entry("few", repeat=2, when_exhausted="restart"), entry("many", repeat=2)]
    runs = Runs(two(stage(*turns, epochs=1), workers=1), tmp_path)
    path = runs.copy(tmp_path / "created", "cut")
    cut = CutInTurn(steps)
    with pytest.raises(Interrupted):
        load_session(path).train(cut, cut.stop)
    passes = load_session(path).progress.within
    assert passes is not None
    assert sum(one.steps for one in passes.passes.values()) == steps % 4
    load_session(path).train()
    assert_same_bits(path, runs.plain)


def test_passes_go_on_over_the_epochs_of_one_stage(tmp_path: Path) -> None:
    """The next stage begins a new pass, whose number none has had."""
    stages = [stage("few", epochs=2, epoch_length=4), stage("few", epochs=1)]
    session = create_session(two(*stages), session_dir=tmp_path / "run")
    session.train()
    assert session.progress.passes == {"few": 4}
    assert session.progress.step == 11


class Totals(Reporter):
    """Remembers how many iterations each epoch is said to have."""

    def __init__(self) -> None:
        self.told: list[int | None] = []

    def epoch_started(self, progress: Progress, iterations: int | None) -> None:
        self.told.append(iterations)


@pytest.mark.parametrize("name", CASES)
def test_the_number_of_iterations_is_known_beforehand(tmp_path: Path, name: str) -> None:
    entries, length = CASES[name]
    config = two(stage(*entries, epochs=3, epoch_length=length))
    session, totals = create_session(config, session_dir=tmp_path / "run"), Totals()
    session.train(totals)
    steps = session.history["step"].tolist()
    assert totals.told == [b - a for a, b in zip([0, *steps], steps, strict=False)]


@pytest.mark.parametrize("name", CASES)
def test_the_number_of_steps_is_known_beforehand(tmp_path: Path, name: str) -> None:
    entries, length = CASES[name]
    config = two(stage(*entries, epochs=3, epoch_length=length))
    session = create_session(config, session_dir=tmp_path / "run", preflight=False)
    steps = steps_of_optimizer(session.stages[0], session.optimizers["descent"])
    assert steps == len([batch for batch in by_hand(entries, length, 3) if batch is not None])


def test_accumulated_batches_are_one_step(tmp_path: Path) -> None:
    """A turn of two steps takes two batches for each; a step does not join passes."""
    turns = [entry("few", repeat=2, when_exhausted="restart"), entry("many")]
    config = two(stage(*turns, epochs=1), accumulated=2)
    session = create_session(config, session_dir=tmp_path / "run")
    session.train()
    assert session.progress.step == 4
    assert session.progress.passes == {"few": 4, "many": 1}
    Runs(config, tmp_path / "runs").check_all_cuts_in_one()


def test_a_stage_whose_data_has_run_out(tmp_path: Path) -> None:
    turns = [entry("few", when_exhausted="wait"), entry("many", when_exhausted="wait")]
    config = two(stage(*turns, epochs=3, epoch_length=4))
    session = create_session(config, session_dir=tmp_path / "run")
    with pytest.raises(DataError, match=r'has run out before its end: "few", "many"; "when_e'):
        session.train()
    assert session.progress.step == 4, "what is saved: the end of the first epoch"


def test_a_stream_without_a_state_cannot_begin_anew(tmp_path: Path) -> None:
    """Where nobody says that it is to restart, it goes on until it has run out."""
    groups = {"datasets": {"points": made("midway_parts.Stream", 12)}}
    groups["loader_factories"] = {"batches": {"dataset": "points", "kwargs": {"batch_size": 4}}}
    message = 'the stream "points", which has no state_dict and load_state_dict, cannot begin anew'
    for length in ("longest", 2):
        restarts = stage(entry("fit", when_exhausted="restart"), epoch_length=length)
        with pytest.raises(ConfigError, match=message) as caught:
            create_session(one_model(groups, restarts), session_dir=tmp_path / "run")
        assert "train.stages[0].training_pipelines[0]" in str(caught.value)
    session = create_session(
        one_model(groups, stage("fit", epochs=2, epoch_length=2)), session_dir=tmp_path / "ends"
    )
    with pytest.raises(
        DataError, match=r'run out before its end: "fit"; .* if it has a state_dict'
    ):
        session.train()
    assert session.progress.step == 2, "what is saved: the end of the first epoch"
    waits = stage(entry("fit", when_exhausted="wait"), epochs=1, epoch_length=3)
    create_session(one_model(groups, waits), session_dir=tmp_path / "waits").train()


def test_an_epoch_in_which_a_pipeline_does_not_run(tmp_path: Path) -> None:
    """Its loss is an empty cell of that row."""
    turns = [entry("few"), entry("many", **{"from": 4})]
    config = two(stage(*turns, epochs=2, epoch_length="few"))
    session = create_session(config, session_dir=tmp_path / "run")
    session.train()
    assert [row["many error"] is None for row in session.rows.rows(0)] == [True, False]
    assert session.history["many error"].isna().tolist() == [True, False]
    assert session.history["few error"].notna().all()
    first, _ = session.path.joinpath("metrics", "0.csv").read_text().splitlines()[1:]
    assert "" in first.split(",")


def test_plain_names_and_their_longest_are_as_before(tmp_path: Path) -> None:
    """An entry that says nothing is a name."""
    plain, entries = (
        create_session(two(stage(*names, epochs=2)), session_dir=tmp_path / key)
        for key, names in {"a": ("few", "many"), "b": (entry("few"), entry("many"))}.items()
    )
    for session in (plain, entries):
        assert not session.stages[0].takes_turns
        session.train()
    assert_equal(weights(plain.models), weights(entries.models))


def test_a_scheduler_steps_with_every_step(tmp_path: Path) -> None:
    scheduled = {
        **trained_by(made("SGD", lr=0.05), "net"),
        "lr_scheduler": {**made("ExponentialLR", gamma=0.5), "interval": "step"},
    }
    config = two(stage(entry("few", repeat=3), epochs=2))
    for definition in config["initialize"]["definitions"]:
        if definition["name"] == "descent":
            definition["spec"] = scheduled
    session = create_session(config, session_dir=tmp_path / "run")
    session.train()
    assert session.progress.step == 2
    assert session.optimizers["descent"].param_groups[0]["lr"] == 0.05 * 0.5**6
