"""A run that is cut at any iteration ends in the same bits, and loads nothing twice for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from exact_configs import (
    Config,
    Groups,
    assert_equal,
    config,
    feed,
    graph,
    loader,
    loss,
    made,
    node,
    one_model,
    stage,
    trained_by,
    weights,
    without_seconds,
)
from exact_configs import part as exact_part
from exact_runs import Cut, Runs, assert_same_bits, some

from torchassistant import create_session, load_session
from torchassistant.errors import Interrupted

REGRESSOR = exact_part("Regressor", norm=True, dropout=0.3)


def part(name: str, *args: Any, **kwargs: Any) -> Config:
    """An object of ``midway_parts``."""
    return made(f"midway_parts.{name}", *args, **kwargs)


MORE_WORKERS = [0, pytest.param(2, marks=pytest.mark.slow)]
"""With workers each cut is made in the run that is cut everywhere; the rest is a longer sweep."""


def noisy(
    workers: int = 0,
    dataset: str = "OwnJittered",
    collator: str = "midway_parts.OwnCollator",
    **arguments: Any,
) -> Config:
    """Two epochs and then one of 3 iterations, with all that draws random numbers or keeps some."""
    groups: Groups = {
        "datasets": {"points": part(dataset, 12 if dataset == "Stream" else 10)},
        "collators": {"jitter": made(collator)},
        "loader_factories": {
            "batches": {
                "dataset": "points",
                "collator": "jitter",
                "kwargs": {"batch_size": 4, "num_workers": workers, **arguments},
            }
        },
        "models": {"net": REGRESSOR},
        "optimizers": {"descent": trained_by(made("Adam", lr=0.01), "net")},
    }
    check = {
        "input_factories": [feed("batches", "x y")],
        "losses": [loss("error", loss_display_name="held out")],
    }
    stages = [stage("fit", epochs=2, validation=["check"]), stage("fit", epochs=1)]
    return one_model(groups, *stages, check=check)


@pytest.mark.parametrize("workers", MORE_WORKERS)
def test_a_cut_at_every_iteration(tmp_path: Path, workers: int) -> None:
    runs = Runs(noisy(workers), tmp_path)
    assert runs.steps == 9
    runs.check_cuts(None if workers == 0 else (1, 3, 5))


def test_a_cut_at_every_iteration_of_one_run(tmp_path: Path) -> None:
    Runs(noisy(), tmp_path).check_all_cuts_in_one()


def test_a_cut_at_every_iteration_of_one_run_with_workers(tmp_path: Path) -> None:
    Runs(noisy(2), tmp_path).check_all_cuts_in_one()


def test_a_cut_at_every_iteration_of_one_run_with_kept_workers(tmp_path: Path) -> None:
    """Every cut begins in the middle of an epoch, with workers that live on into the next."""
    Runs(noisy(2, persistent_workers=True), tmp_path).check_all_cuts_in_one()


VALIDATED = {
    "with global generators": ("Jittered", "DefaultCollator"),
    "with generators of the dataset": ("OwnJittered", "DefaultCollator"),
    "with generators of the collator": ("Jittered", "midway_parts.OwnCollator"),
    "with a state of the dataset": ("Counter", "DefaultCollator"),
}


@pytest.mark.parametrize("kind", VALIDATED)
def test_a_cut_at_every_batch_of_validation(tmp_path: Path, kind: str) -> None:
    """The batches of validation before the cut are met twice, and leave one trace."""
    dataset, collator = VALIDATED[kind]
    Runs(noisy(0, dataset, collator), tmp_path).check_cuts_in_validation(4)


GENERATORS = [kind for kind in VALIDATED if "generators" in kind]


@pytest.mark.parametrize("kind", GENERATORS)
def test_evaluation_gives_the_same_again(tmp_path: Path, kind: str) -> None:
    """The same weights give the same result, and training goes on as if nothing was drawn."""
    config = noisy(0, *VALIDATED[kind])
    plain = create_session(config, session_dir=tmp_path / "plain")
    session = create_session(config, session_dir=tmp_path / "evaluated")
    assert session.evaluate(["check"]) == session.evaluate(["check"])
    for one in (plain, session):
        one.train()
    assert_same_bits(plain.path, session.path)


@pytest.mark.parametrize("kind", GENERATORS)
def test_a_preflight_leaves_no_trace(tmp_path: Path, kind: str) -> None:
    for name in (True, False):
        config = noisy(0, *VALIDATED[kind])
        create_session(config, session_dir=tmp_path / str(name), preflight=name).train()
    assert_same_bits(tmp_path / "True", tmp_path / "False")


@pytest.mark.parametrize("iteration", [2, 6])
def test_the_session_in_memory_goes_on(tmp_path: Path, iteration: int) -> None:
    """As after Ctrl-C in a notebook: ``train()`` once more, with iterators begun anew."""
    runs = Runs(noisy(sampler=SAMPLERS["of the user"]), tmp_path)
    session = load_session(runs.copy(tmp_path / "created", "cut"))
    cut = Cut(iteration)
    with pytest.raises(Interrupted):
        session.train(cut, cut.stop)
    session.train()
    assert_same_bits(session.path, runs.plain)


SAMPLERS = {
    "of the user": part("Marching", 10),
    "weighted": made("torch.utils.data.WeightedRandomSampler", [0.1, 0.4] * 5, 10),
}


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("workers", MORE_WORKERS)
def test_samplers(tmp_path: Path, sampler: str, workers: int) -> None:
    runs = Runs(noisy(workers, sampler=SAMPLERS[sampler]), tmp_path)
    runs.check_cuts(None if workers == 0 else (2, 6))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("collator", ["DefaultCollator", "midway_parts.OwnCollator"])
def test_a_dataset_that_can_only_be_iterated_over(
    tmp_path: Path, workers: int, collator: str
) -> None:
    runs = Runs(noisy(workers, "Stream", collator), tmp_path)
    runs.check_cuts(None if workers == 0 else (2,))


def test_a_dataset_that_can_only_be_iterated_over_cut_everywhere(tmp_path: Path) -> None:
    Runs(noisy(dataset="Stream"), tmp_path).check_all_cuts_in_one()


@pytest.mark.parametrize("workers", [0, 2])
def test_datasets_that_give_whole_batches(tmp_path: Path, workers: int) -> None:
    arguments = {"batch_size": None, "num_workers": workers}
    config = one_model(
        {
            "datasets": {"points": part("WholeBatches", 11)},
            "loader_factories": {"batches": {"dataset": "points", "kwargs": arguments}},
            "models": {"net": REGRESSOR},
        }
    )
    runs = Runs(config, tmp_path)
    assert runs.steps == 8
    runs.check_cuts(None if workers == 0 else (2,))


def unequal(workers: int = 0, **more: Any) -> Config:
    """Two pipelines of 2 and of 4 iterations, which share one network."""
    arguments = {"shuffle": True, "num_workers": workers}
    groups: Groups = {
        "datasets": {"few": part("OwnJittered", 5), "many": part("Jittered", 10)},
        "loader_factories": {
            "short": loader("few", 3, **arguments),
            "long": loader("many", 3, **arguments),
        },
        "models": {
            "body": exact_part("spectral", 4, 3),
            "one": made("torch.nn.Linear", 3, 1),
            "two": made("torch.nn.Linear", 3, 1),
        },
        "optimizers": {
            "adam": trained_by(made("Adam", lr=0.01), "body"),
            "descent": trained_by(made("SGD", lr=0.05, momentum=0.5), "one"),
            "other": trained_by(made("SGD", lr=0.05), "two"),
        },
        "losses": {"error": {**made("MSELoss"), "inputs": ["y_hat", "y"]}},
        "batch_processors": {
            "first": {"neural_graph": [node("body", "x", "h", "adam"), ONE]},
            "second": {"neural_graph": [node("body", "x", "h", "adam"), TWO]},
        },
        "batch_graphs": {
            "first row": graph("points", first="points"),
            "second row": graph("points", second="points"),
        },
    }
    pipelines = {
        name: {
            "graph": f"{which} row",
            "input_factories": [feed(batches, "x y", "points")],
            "losses": [loss("error", which, loss_display_name=name)],
        }
        for name, which, batches in (("brief", "first", "short"), ("whole", "second", "long"))
    }
    return {**config(groups, pipelines, stage("brief", "whole")), **more}


ONE, TWO = node("one", "h", "y_hat", "descent"), node("two", "h", "y_hat", "other")


@pytest.mark.parametrize("workers", MORE_WORKERS)
def test_pipelines_of_unequal_length(tmp_path: Path, workers: int) -> None:
    runs = Runs(unequal(workers), tmp_path)
    assert runs.steps == 8
    runs.check_cuts(None if workers == 0 else (1, 3))


def from_each_checkpoint(config: Config, folder: Path) -> None:
    """As after ``kill -9`` at any time: what was written later than a state stands there still."""
    runs = Runs(config, folder)
    names = [path.name for path in sorted((runs.plain / "checkpoints").iterdir())]
    for number in some(len(names) - 1):
        name = names[number - 1]
        path = runs.copy(runs.plain, f"from {name}")
        for later in names[number:]:
            shutil.rmtree(path / "checkpoints" / later)
        session = load_session(path)
        assert session.progress.step == int(name[:10])
        session.train()
        assert_same_bits(path, runs.plain)


OFTEN = {"every_iterations": 1, "keep_last": 100}


@pytest.mark.parametrize("make", [noisy, unequal], ids=["noisy", "unequal"])
def test_every_state_that_every_iterations_saves(
    tmp_path: Path, make: Callable[[], Config]
) -> None:
    from_each_checkpoint({**make(), "checkpoints": OFTEN}, tmp_path)


@pytest.mark.slow
def test_every_state_that_every_iterations_saves_with_workers(tmp_path: Path) -> None:
    often = {"every_iterations": 4, "keep_last": 100}
    from_each_checkpoint({**noisy(2), "checkpoints": often}, tmp_path)


def test_saving_often_changes_nothing(tmp_path: Path) -> None:
    ends = []
    for name, checkpoints in (("seldom", {}), ("often", OFTEN)):
        session = create_session(
            {**noisy(), "checkpoints": checkpoints}, session_dir=tmp_path / name
        )
        session.train()
        ends.append(session)
    assert_equal(weights(ends[0].models), weights(ends[1].models))
    assert without_seconds(ends[0].path) == without_seconds(ends[1].path)


MODELS = {
    "with a generator of its own": part("Noised"),
    "with a buffer that is not stored by torch": part("Fading"),
    "with such a buffer that is replaced by a longer one": part("Growing"),
}


@pytest.mark.parametrize("model", MODELS)
def test_models(tmp_path: Path, model: str) -> None:
    runs = Runs(one_model({"models": {"net": MODELS[model]}}), tmp_path)
    runs.check_cuts()


def test_a_dataset_with_a_state_of_its_own(tmp_path: Path) -> None:
    Runs(one_model({"datasets": {"points": part("Counter", 10)}}), tmp_path).check_cuts()


# Examples that were met before the cut


def recorded(path: Path, workers: int, **arguments: Any) -> Config:
    kwargs = {"shuffle": True, "num_workers": workers, **arguments}
    return one_model(
        {
            "datasets": {"points": part("Recorded", 12, str(path))},
            "loader_factories": {"batches": loader("points", 2, **kwargs)},
        }
    )


def indices_in(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.parametrize("sampler", [None, "Marching"])
def test_no_example_is_loaded_again(tmp_path: Path, sampler: str | None) -> None:
    file = tmp_path / "loaded"
    chosen = {"sampler": part(sampler, 12), "shuffle": False} if sampler else {}
    runs = Runs(recorded(file, 0, **chosen), tmp_path)
    expected = indices_in(file)[-24:]
    for iteration in (1, 5, 6, 11):
        file.unlink()
        session = runs.cut(f"cut at {iteration}", iteration=iteration)
        assert indices_in(file) == expected[: 2 * iteration]
        session.train()
        assert indices_in(file) == expected


def test_no_example_is_loaded_again_by_workers(tmp_path: Path) -> None:
    """What they had loaded ahead is loaded again, and no example of a batch that was trained on."""
    file = tmp_path / "loaded"
    plain = Runs(recorded(file, 0), tmp_path / "in process")
    expected = indices_in(file)[-24:]
    runs = Runs(recorded(file, 2), tmp_path / "workers")
    for iteration in (1, 6, 9):
        session = runs.cut(f"cut at {iteration}", iteration=iteration)
        file.unlink()
        session.train()
        epoch_ends = -(-iteration // 6) * 12
        loaded = indices_in(file)
        rest, next_epoch = expected[2 * iteration : epoch_ends], expected[epoch_ends:]
        assert sorted(loaded[: len(rest)]) == sorted(rest)
        assert sorted(loaded[len(rest) :]) == sorted(next_epoch)
    assert without_seconds(plain.plain) == without_seconds(runs.plain)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_batches_are_the_same_for_any_number_of_workers(tmp_path: Path) -> None:
    sessions = []
    for workers in (1, 2, 3):
        sessions.append(create_session(noisy(workers), session_dir=tmp_path / str(workers)))
        sessions[-1].train()
    for other in sessions[1:]:
        assert_equal(weights(sessions[0].models), weights(other.models))
        assert without_seconds(sessions[0].path) == without_seconds(other.path)


def test_a_cut_run_may_go_on_with_another_number_of_workers(tmp_path: Path) -> None:
    runs = Runs(noisy(2), tmp_path)
    path = runs.cut("cut", iteration=4).path
    session = load_session(path, settings=["batches.kwargs.num_workers=1"])
    session.train()
    assert_equal(weights(session.models), weights(load_session(runs.plain).models))
    assert without_seconds(path) == without_seconds(runs.plain)
