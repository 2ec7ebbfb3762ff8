"""Everything that a config defines, by group and by name."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from torchassistant.assembly.taken_weights import TakenWeights
from torchassistant.callbacks import Callback
from torchassistant.config import DATASET_OR_SLICE, GROUPS, Key, Reference, as_slice, module_named
from torchassistant.data import LoaderFactory, Split
from torchassistant.graph import BatchGraph, Processor
from torchassistant.training import (
    Average,
    DebugPipeline,
    GradientClipper,
    Loss,
    Metric,
    Pipeline,
    Scheduler,
    Stage,
    StepLog,
)


class Parts:
    """What is built so far. This is what a ``factory_fn`` gets as the session.

    Args:
        seed: What everything random follows from.
        device: The device of the run.

    ``averages`` keep those models up to date that are averages of others; ``parts_of_models`` names
    those that are parts of others.

    While something is built, ``restoring`` says whether it gets the state that the session holds of
    it, so that no file has to be read for that.
    """

    datasets: dict[str, Any]
    splits: dict[str, Split]
    preprocessors: dict[str, Any]
    collators: dict[str, Any]
    loader_factories: dict[str, LoaderFactory]
    models: dict[str, nn.Module]
    optimizers: dict[str, Optimizer]
    losses: dict[str, Any]
    metrics: dict[str, Metric]
    evaluators: dict[str, Any]
    batch_processors: dict[str, Processor]
    batch_graphs: dict[str, BatchGraph]
    gradient_clippers: dict[str, GradientClipper]
    backward_hooks: dict[str, list[Any]]
    forward_hooks: dict[str, list[Any]]
    callbacks: dict[str, Callback]

    def __init__(self, seed: int, device: torch.device) -> None:
        self.seed = seed
        self.device = device
        self.restoring = False
        self.untrained: dict[str, list[nn.Parameter]] = {}
        """What an optimizer leaves out on purpose, by its name."""
        self.averages: dict[str, Average] = {}
        self.parts_of_models: set[str] = set()
        self.weights: dict[str, TakenWeights] = {}
        """What became of the weights that models began with, by model."""
        self.schedulers: dict[str, Scheduler] = {}
        self.loss_calls: dict[str, Loss] = {}
        self.pipelines: dict[str, Pipeline] = {}
        self.debug_pipelines: dict[str, DebugPipeline] = {}
        self.stages: list[Stage] = []
        self.step_log: StepLog | None = None
        self.callback_columns: dict[str, list[str]] = {}
        """The columns of the history that each callback adds values for."""
        for group in GROUPS:
            setattr(self, group, {})

    @property
    def whole_models(self) -> dict[str, nn.Module]:
        """The models by name, without those that are parts of others."""
        return {n: model for n, model in self.models.items() if n not in self.parts_of_models}

    def with_models(self) -> list[Any]:
        """This object, and all modules, parameters and buffers of its models."""
        models = self.models.values()
        modules = [part for model in models for part in model.modules()]
        tensors = [t for m in models for t in (*m.parameters(), *m.buffers())]
        return [self, *modules, *tensors]

    def built(self, key: Key) -> Any:
        """What has become of a definition."""
        return getattr(self, key.group)[key.name]

    def named(self, reference: Reference) -> Any:
        """What has become of what a definition names."""
        if reference.group == DATASET_OR_SLICE:
            return self.dataset(reference.name)
        return self.built(Key(reference.group, reference.name))

    def module(self, name: str) -> Any:
        """What an optimizer is for: a model, or as ``losses.NAME`` a loss."""
        return self.built(module_named(name))

    def dataset(self, name: str) -> Any:
        """A dataset, or a slice of a split as ``split.train`` or ``split[0]``."""
        if name in self.datasets:
            return self.datasets[name]
        piece = as_slice(name)
        if piece is None:
            raise KeyError(name)
        return self.splits[piece.split][piece.position]
