"""Supervised training of a chain of models: the same task as a config and as Python objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from typing import Any

Config = dict[str, Any]


def made(path: str, *args: Any, **kwargs: Any) -> Config:
    """An object of a config."""
    return {"class": path, "args": list(args), "kwargs": kwargs}


def part(name: str, *args: Any, **kwargs: Any) -> Config:
    """An object of ``benchmarks.parts``."""
    return made(f"benchmarks.parts.{name}", *args, **kwargs)


def built(spec: Any, *first: Any) -> Any:
    """The Python object that a config describes; ``first`` come before its arguments."""
    if not isinstance(spec, dict):
        return spec
    factory = "factory_fn" in spec
    module, _, name = spec["factory_fn" if factory else "class"].rpartition(".")
    args = [built(value) for value in spec.get("args", [])]
    kwargs = {key: built(value) for key, value in spec.get("kwargs", {}).items()}
    session = [None] if factory else []
    return getattr(import_module(module), name)(*session, *first, *args, **kwargs)


def whole(
    groups: dict[str, dict[str, Config]],
    pipelines: dict[str, Config],
    epochs: int,
    **top: Any,
) -> Config:
    """A whole config with one stage, which trains every pipeline."""
    definitions = [
        {"group": group, "name": name, "spec": spec}
        for group, named in groups.items()
        for name, spec in named.items()
    ]
    stage = {
        "training_pipelines": list(pipelines),
        "stop_condition": made("EpochsCompleted", epochs),
    }
    return {
        "seed": 1,
        "device": "cpu",
        "initialize": {"definitions": definitions, "pipelines": pipelines},
        "train": {"stages": [stage]},
        **top,
    }


@dataclass(frozen=True, slots=True)
class Task:
    """A dataset of pairs (x, y), and models one after the other that predict y from x.

    Args:
        dataset: Gives pairs.
        models: In the order in which they run.
        loss: A class of ``torch.nn``.
        optimizer: A class of ``torch.optim``.
        kwargs: The arguments of every optimizer.
        trained: So many models, from the first on, are trained, each by an optimizer of its own.
            None: all of them.
        batch_size: Examples a batch; None where the dataset gives whole batches.
        node: Further keys of every node.
        validated: Whether each epoch ends with the loss over all examples, in eval mode.
    """

    dataset: Config
    models: Sequence[Config]
    loss: str = "MSELoss"
    optimizer: str = "Adam"
    kwargs: Config | None = None
    trained: int | None = None
    batch_size: int | None = 32
    node: Config | None = None
    validated: bool = False

    @property
    def names(self) -> list[str]:
        """The names of the models."""
        return [f"model_{i}" for i in range(len(self.models))]

    @property
    def trained_names(self) -> list[str]:
        """The names of the models that are trained."""
        return self.names[: self.trained]

    def config(self, epochs: int, **top: Any) -> Config:
        """A config that trains one pipeline, ``fit``.

        Args:
            epochs: How many.
            top: Further keys of the config.
        """
        loader = {"dataset": "examples", "kwargs": {"batch_size": self.batch_size}}
        optimizer = made(self.optimizer, **(self.kwargs or {}))
        groups = {
            "datasets": {"examples": self.dataset},
            "loader_factories": {"batches": loader},
            "models": dict(zip(self.names, self.models, strict=True)),
            "optimizers": {
                f"optimizer of {name}": {**optimizer, "model": name} for name in self.trained_names
            },
            "losses": {"loss": {**made(self.loss), "inputs": ["y_hat", "y"]}},
            "batch_processors": {"chain": {"neural_graph": self._nodes()}},
            "batch_graphs": {
                "graph": {
                    "nodes": ["chain"],
                    "input_aliases": ["batch"],
                    "ingoing_edges": {"chain": ["batch"]},
                }
            },
        }
        feed = {"input_alias": "batch", "loader_factory": "batches", "variable_names": ["x", "y"]}
        fit = {"graph": "graph", "input_factories": [feed], "losses": [{"loss_name": "loss"}]}
        config = whole(groups, {"fit": fit}, epochs, **top)
        if self.validated:
            config["initialize"]["pipelines"]["check"] = fit
            config["train"]["stages"][0]["validation_pipelines"] = ["check"]
        return config

    def _nodes(self) -> list[Config]:
        columns = ["x", *(f"h_{i}" for i in range(len(self.models) - 1)), "y_hat"]
        nodes = []
        for name, (source, target) in zip(self.names, pairwise(columns), strict=True):
            node: Config = {"model_name": name, "inputs": [source], "outputs": [target]}
            node |= self.node or {}
            if name in self.trained_names:
                node["optimizer_name"] = f"optimizer of {name}"
            nodes.append(node)
        return nodes


def one_layer(count: int, dataset: str = "Examples") -> Task:
    """One linear layer over 64 features: what is left is overhead."""
    path = f"benchmarks.parts.{dataset}"
    key = "class" if dataset == "Examples" else "factory_fn"
    return Task({key: path, "args": [count, 64]}, [made("torch.nn.Linear", 64, 1)])


def lenet(folder: str) -> Task:
    """LeNet-5 on files of MNIST's form."""
    dataset = made("torchvision.datasets.MNIST", folder, train=True)
    dataset["kwargs"]["transform"] = made("torchvision.transforms.ToTensor")
    return Task(dataset, [part("LeNet5")], loss="CrossEntropyLoss")


def nodes(count: int, examples: int, trained: int | None = None, optimizer: str = "Adam") -> Task:
    """A graph of so many small nodes, one after the other."""
    models = [part("Block", 16, 16) for _ in range(count)]
    data = part("Examples", examples, 16, 16)
    kwargs = {"lr": 0.001}
    return Task(data, models, optimizer=optimizer, kwargs=kwargs, trained=trained)
