"""Everything that a config defines, by group and by name."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from torchassistant.config.references import LOSSES, as_slice, module_named
from torchassistant.data import LoaderFactory, Split
from torchassistant.graph import BatchGraph, Processor
from torchassistant.training import (
    DebugPipeline,
    GradientClipper,
    Loss,
    Metric,
    Pipeline,
    Scheduler,
    Stage,
)

GROUPS = (
    "datasets",
    "splits",
    "preprocessors",
    "collators",
    "loader_factories",
    "models",
    "optimizers",
    "losses",
    "metrics",
    "batch_processors",
    "batch_graphs",
    "gradient_clippers",
    "backward_hooks",
    "forward_hooks",
)


class Parts:
    """What is built so far. This is what a ``factory_fn`` gets as the session.

    Args:
        seed: What everything random follows from.
        device: The device of the run.

    While something is built, ``restoring`` says whether it gets the state that the session holds of
    it, so that no file has to be read for that.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self.seed = seed
        self.device = device
        self.restoring = False
        self.datasets: dict[str, Any] = {}
        self.splits: dict[str, Split] = {}
        self.preprocessors: dict[str, Any] = {}
        self.collators: dict[str, Any] = {}
        self.loader_factories: dict[str, LoaderFactory] = {}
        self.models: dict[str, nn.Module] = {}
        self.optimizers: dict[str, Optimizer] = {}
        self.schedulers: dict[str, Scheduler] = {}
        self.losses: dict[str, Loss] = {}
        self.metrics: dict[str, Metric] = {}
        self.batch_processors: dict[str, Processor] = {}
        self.batch_graphs: dict[str, BatchGraph] = {}
        self.gradient_clippers: dict[str, GradientClipper] = {}
        self.backward_hooks: dict[str, list[Any]] = {}
        self.forward_hooks: dict[str, list[Any]] = {}
        self.pipelines: dict[str, Pipeline] = {}
        self.debug_pipelines: dict[str, DebugPipeline] = {}
        self.stages: list[Stage] = []

    def with_models(self) -> list[Any]:
        """This object, and all modules, parameters and buffers of its models."""
        models = self.models.values()
        modules = [part for model in models for part in model.modules()]
        tensors = [t for m in models for t in (*m.parameters(), *m.buffers())]
        return [self, *modules, *tensors]

    def module(self, name: str) -> Any:
        """What an optimizer is for: a model, or as ``losses.NAME`` what a loss computes with."""
        key = module_named(name)
        return self.losses[key.name].function if key.group == LOSSES else self.models[key.name]

    def dataset(self, name: str) -> Any:
        """A dataset, or a slice of a split as ``split.train`` or ``split[0]``."""
        if name in self.datasets:
            return self.datasets[name]
        piece = as_slice(name)
        if piece is None:
            raise KeyError(name)
        return self.splits[piece.split][piece.position]
