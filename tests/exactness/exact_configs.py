"""Configs in short, and a session beside copies of its models for a loop written by hand."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset

from torchassistant import create_session
from torchassistant.training import Progress, Reporter

Config = dict[str, Any]
Groups = Mapping[str, Mapping[str, Config]]


def made(path: str, *args: Any, **kwargs: Any) -> Config:
    """An object of a config."""
    return {"class": path, "args": list(args), "kwargs": kwargs}


def part(name: str, *args: Any, **kwargs: Any) -> Config:
    """An object of ``exact_parts``."""
    return made(f"exact_parts.{name}", *args, **kwargs)


def layers(*modules: Config) -> Config:
    """A ``torch.nn.Sequential`` of objects."""
    return made("torch.nn.Sequential", *modules)


def layer(name: str, *args: Any, **kwargs: Any) -> Config:
    """A layer of ``torch.nn``."""
    return made(f"torch.nn.{name}", *args, **kwargs)


def trained_by(optimizer: Config, model: str) -> Config:
    """An optimizer of a model."""
    return {**optimizer, "model": model}


def loader(dataset: str, batch_size: int = 4, **kwargs: Any) -> Config:
    """A loader factory that does not shuffle."""
    return {"dataset": dataset, "kwargs": {"batch_size": batch_size, "shuffle": False, **kwargs}}


def node(
    model: str, inputs: str, outputs: str, optimizer: str | None = None, **more: Any
) -> Config:
    """A node; the names of inputs and of outputs are separated by blanks."""
    trained = {"optimizer_name": optimizer} if optimizer else {}
    return {
        "model_name": model,
        "inputs": inputs.split(),
        "outputs": outputs.split(),
        **trained,
        **more,
    }


def graph(ports: str, **edges: str) -> Config:
    """A batch graph: its ports, and for each processor what feeds it, separated by blanks."""
    return {
        "nodes": list(edges),
        "input_aliases": ports.split(),
        "ingoing_edges": {name: sources.split() for name, sources in edges.items()},
    }


def feed(loader_factory: str, columns: str, port: str | None = None) -> Config:
    """What feeds a port."""
    named = {"input_alias": port} if port else {}
    return {"loader_factory": loader_factory, "variable_names": columns.split(), **named}


def loss(name: str, of: str | None = None, **more: Any) -> Config:
    """A loss of a pipeline."""
    return {"loss_name": name, **({"node_name": of} if of else {}), **more}


def stage(
    *training: str | Config, epochs: int = 2, validation: Sequence[str] = (), **more: Any
) -> Config:
    """A stage of a number of epochs."""
    return {
        "training_pipelines": list(training),
        "validation_pipelines": list(validation),
        "stop_condition": made("EpochsCompleted", epochs),
        **more,
    }


def config(
    groups: Groups,
    pipelines: Mapping[str, Config],
    *stages: Config,
    seed: int = 11,
) -> Config:
    """A whole config; the definitions are given by group and by name."""
    definitions = [
        {"group": group, "name": name, "spec": spec}
        for group, named in groups.items()
        for name, spec in named.items()
    ]
    return {
        "seed": seed,
        "device": "cpu",
        "initialize": {"definitions": definitions, "pipelines": dict(pipelines)},
        "train": {"stages": list(stages)},
    }


NET = layers(layer("Linear", 4, 6), layer("Tanh"), layer("Linear", 6, 1))
DROPOUT_NET = layers(layer("Linear", 4, 6), layer("Dropout", 0.4), layer("Linear", 6, 1))


def one_model(
    groups: Groups | None = None,
    *stages: Config,
    columns: str = "x y",
    pipeline: Mapping[str, Any] | None = None,
    seed: int = 11,
    **more: Config,
) -> Config:
    """Regression with one model ``net``, trained by ``descent`` over ``points``.

    Args:
        groups: Definitions beside, or in place of, those that are here.
        stages: Left out: two epochs of the pipeline ``fit``.
        columns: Names of the columns of a batch.
        pipeline: Keys of the pipeline ``fit``, beside or in place of those that are here.
        seed: What everything random follows from.
        more: Other pipelines, by name.
    """
    whole: dict[str, dict[str, Config]] = {
        "datasets": {"points": part("Points", 10)},
        "loader_factories": {"batches": loader("points")},
        "models": {"net": NET},
        "optimizers": {"descent": {**made("SGD", lr=0.05), "model": "net"}},
        "losses": {"error": {**made("MSELoss"), "inputs": ["y_hat", "y"]}},
    }
    for group, named in (groups or {}).items():
        whole[group] = {**whole.get(group, {}), **named}
    fit = {
        "input_factories": [feed("batches", columns)],
        "losses": [loss("error")],
        **(pipeline or {}),
    }
    return config(whole, {"fit": fit, **more}, *(stages or [stage("fit")]), seed=seed)


class RandomStart(Reporter):
    """Remembers the states of torch's and Python's generators when training began."""

    state: Tensor | None = None
    python_state: Any = None

    def epoch_started(self, progress: Progress, iterations: int | None) -> None:
        if self.state is None:
            self.state, self.python_state = torch.get_rng_state(), random.getstate()


class Twin:
    """A trained session, and copies of its models as they were before training.

    Random numbers of torch and Python go on from where training began, so that a loop written by
    hand draws the same ones.

    Args:
        config: The config.
        folder: A folder for the session.
        preflight: Whether a batch of every pipeline is run before.
    """

    def __init__(self, config: Config, folder: Path, preflight: bool = True) -> None:
        self.session = create_session(config, session_dir=folder / "session", preflight=preflight)
        self.models: dict[str, nn.Module] = copy.deepcopy(dict(self.session.models))
        self.start = weights(self.models)
        reporter = RandomStart()
        self.session.train(reporter)
        assert reporter.state is not None
        torch.set_rng_state(reporter.state)
        random.setstate(reporter.python_state)

    def check(self, unchanged: Collection[str] = ()) -> None:
        """Both have the same weights, other than at the start where they are not ``unchanged``."""
        trained = weights(self.session.models)
        assert_equal(trained, weights(self.models))
        for name, model in self.models.items():
            for mine, theirs in zip(
                model.parameters(), self.session.models[name].parameters(), strict=True
            ):
                assert mine.requires_grad == theirs.requires_grad
        for name, tensors in trained.items():
            moved = any(not torch.equal(t, self.start[name][key]) for key, t in tensors.items())
            assert moved == (name not in unchanged), name


def batches_of(dataset: Dataset[Any], batch_size: int = 4, **kwargs: Any) -> DataLoader[Any]:
    """A plain loader; with a generator of its own it draws none of the global random numbers."""
    return DataLoader(dataset, batch_size, generator=torch.Generator(), **kwargs)


def fit(
    predict: Callable[[Tensor], Tensor],
    optimizer: Optimizer,
    batches: Iterable[Sequence[Tensor]],
    epochs: int = 2,
    criterion: Callable[[Tensor, Tensor], Tensor] = mse_loss,
) -> None:
    """The plainest loop that there is. The first column of a batch is x, the second y."""
    for _ in range(epochs):
        for x, y, *_ in batches:
            optimizer.zero_grad()
            criterion(predict(x), y).backward()
            optimizer.step()


Weights = dict[str, dict[str, Tensor]]


def weights(models: Mapping[str, nn.Module]) -> Weights:
    """Copies of the parameters and buffers of models."""
    return {name: copy.deepcopy(model.state_dict()) for name, model in models.items()}


def assert_equal(one: Weights, other: Weights) -> None:
    """Every tensor is the same, bit for bit."""
    assert one.keys() == other.keys()
    for name, tensors in one.items():
        assert tensors.keys() == other[name].keys()
        for key, tensor in tensors.items():
            assert torch.equal(tensor, other[name][key]), f"{name}.{key}"


def without_seconds(folder: Path) -> dict[str, Any]:
    """The history files of a session, line by line, without their last column; data as it is.

    Of the file of times only what it is that they belong to counts.
    """
    return {
        path.name: [
            line.split(",")[: 3 if path.name == "times.csv" else -1]
            for line in path.read_text().splitlines()
        ]
        if path.suffix == ".csv"
        else path.read_bytes()
        for path in sorted((folder / "metrics").iterdir())
    }
