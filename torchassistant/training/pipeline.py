"""A pipeline: a batch graph, what feeds it, its losses and its metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from torchassistant.data import (
    Cut,
    CutMultiLoader,
    LoaderFactory,
    MultiLoader,
    Port,
    RepeatingCutLoader,
    RepeatingLoader,
    TurnOf,
    derived,
    prefetched,
)
from torchassistant.errors import Place
from torchassistant.frames import Frame
from torchassistant.graph import BatchGraph, Calling, Compiling, distinct
from torchassistant.parallel import World
from torchassistant.training.linked_input import LinkedInput
from torchassistant.training.losses.losses_and_metrics import Loss, Metric
from torchassistant.training.losses.metric_values import WHOLE, shown
from torchassistant.training.optimizer_calls import parameters_of
from torchassistant.training.precision import Precision


@dataclass(frozen=True, slots=True)
class InputSource:
    """What feeds one port.

    Args:
        port: Its name.
        factory: Gives the batches.
        columns: The names of their columns; None numbers them.
        dropped: Names of columns that no frame gets.
        restarts: Whether the loader begins anew while those of other ports last.
    """

    port: str
    factory: LoaderFactory
    columns: tuple[str, ...] | None = None
    dropped: frozenset[str] = frozenset()
    restarts: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class WeightSchedule:
    """An object that gives the weight of a loss at each step.

    Args:
        function: Called as ``function(step, epoch)``.
        place: Where it stands in the config.
    """

    function: Callable[[int, int], Any]
    place: Place


@dataclass(frozen=True, slots=True, eq=False)
class PipelineLoss:
    """A loss of a pipeline.

    Args:
        shown_as: The display name.
        node: The processor whose frame it is computed from.
        loss: The loss.
        weight: Its factor in the sum that is minimised, unless that is scheduled.
        optimizer: What trains the parameters of the loss itself; None where it has none.
        schedule: Gives its factor at each step; None where that is a number.
        models: The models that it is called with, and how each is run.
        trained: Those of them that it trains, and no node.
        model_optimizer: What trains these; None leaves that to the optimizers of nodes.
    """

    shown_as: str
    node: str
    loss: Loss
    weight: float = 1.0
    optimizer: Optimizer | None = None
    schedule: WeightSchedule | None = None
    models: Sequence[tuple[nn.Module, Calling]] = ()
    trained: Sequence[nn.Module] = ()
    model_optimizer: Optimizer | None = None

    @property
    def columns(self) -> list[str]:
        """The columns of a row that it has: its sum, and each of its values by key."""
        return [self.shown_as, *(f"{self.shown_as}/{key}" for key in self.loss.keys or ())]

    @property
    def optimizers(self) -> list[Optimizer]:
        """What steps because of it."""
        return [o for o in (self.optimizer, self.model_optimizer) if o is not None]


@dataclass(frozen=True, slots=True)
class PipelineMetric:
    """A metric of a pipeline: its display name, the processor whose frame it is computed from."""

    shown_as: str
    node: str
    metric: Metric

    @property
    def columns(self) -> list[str]:
        """The columns of a row that it has: its own, or one for each of its numbers by key."""
        keys = self.metric.keys.numbers
        return [shown(self.shown_as, key) for key in ((WHOLE,) if keys is None else keys)]

    @property
    def data(self) -> list[str]:
        """The display names of what it gives as tensors, as far as that was met."""
        return [shown(self.shown_as, key) for key in self.metric.keys.data]


@dataclass(frozen=True, slots=True, eq=False)
class StepObject:
    """An object that is called for each batch, in place of what a pipeline does with one.

    Args:
        function: Called with an event; returns losses and columns.
        losses: The names of the losses that it returns.
    """

    function: Callable[[Any], Any]
    losses: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Pipeline:
    """A batch graph, the loaders that feed its ports, its losses and its metrics.

    Args:
        name: The name in the config.
        graph: What is run.
        inputs: What feeds each port, from a loader.
        losses: In the order of the config.
        metrics: In the order of the config.
        seed: What the order of its data follows from.
        precision: Of its forward passes and losses.
        scaler: Keeps small gradients from vanishing, where the precision needs that.
        compiling: How graph and losses are compiled for training, all as one; None leaves them.
        accumulated: The number of batches whose gradients make one step.
        called: Gives the modules that losses and metrics of the user call by themselves.
        optimizer_names: What the config calls the optimizers, by their ``id``.
        normalizes_weights: Whether its losses' weights are divided by their sum at each step.
        untrained: What optimizers leave out on purpose, by their ``id``.
        combine: Called with its losses by display name and the parameters that it trains, in place
            of the backward pass; None where that is of their sum.
        links: What feeds the ports that have no loader.
        pipelines: By name those that feed it, and maybe others.
        train_step: What is called in training in place of all that; None: nothing is.
        eval_step: What is called in evaluation in place of graph and losses; None: nothing is.
        models: Those of its graph and of its losses, by their names in the config.
        limit: So many batches of its data are all that there are; None: every one.
        repeats: Whether each pass of training gives the batches of the first one again.
        world: Who trains it together, and how batches are cut; None: one process, as they are.
    """

    name: str
    graph: BatchGraph
    inputs: Sequence[InputSource]
    losses: Sequence[PipelineLoss]
    metrics: Sequence[PipelineMetric]
    seed: int
    precision: Precision = field(default_factory=Precision)
    scaler: torch.amp.GradScaler | None = None
    compiling: Compiling | None = None
    accumulated: int = 1
    called: Callable[[], Sequence[nn.Module]] = tuple
    optimizer_names: Mapping[int, str] = field(default_factory=dict)
    normalizes_weights: bool = False
    untrained: Mapping[int, Sequence[nn.Parameter]] = field(default_factory=dict)
    combine: Callable[[dict[str, torch.Tensor], list[torch.Tensor]], Any] | None = None
    links: Sequence[LinkedInput] = ()
    pipelines: Mapping[str, Pipeline] = field(default_factory=dict)
    train_step: StepObject | None = None
    eval_step: StepObject | None = None
    models: Mapping[str, nn.Module] = field(default_factory=dict)
    limit: int | None = None
    repeats: bool = False
    world: World | None = None

    @property
    def pieces(self) -> int:
        """In how many pieces this process trains on each batch."""
        return 1 if self.world is None else len(self.world.own)

    @property
    def ends_by_itself(self) -> bool:
        """Whether a loader of its own ends its pass, and not only what feeds it."""
        return any(not source.restarts for source in self.inputs)

    @property
    def display_names(self) -> list[str]:
        """The display names of an evaluation: of losses and metrics, in the config's order."""
        return self.evaluated_losses + [item.shown_as for item in self.metrics]

    @property
    def evaluated_columns(self) -> list[str]:
        """The same, for each value by key, as far as they are numbers."""
        return self.evaluated_losses + [column for m in self.metrics for column in m.columns]

    @property
    def trained_losses(self) -> list[str]:
        """The display names of what is measured in training."""
        return self._losses_of(self.train_step)

    @property
    def evaluated_losses(self) -> list[str]:
        """The display names of the losses of an evaluation."""
        return self._losses_of(self.eval_step)

    def _losses_of(self, step: StepObject | None) -> list[str]:
        if step is not None:
            return list(step.losses)
        return [column for item in self.losses for column in item.columns]

    @property
    def steps(self) -> dict[str, Any]:
        """The objects that are called in place of a part of its steps, by their keys."""
        found: dict[str, Any] = {"combine": self.combine}
        for key, step in (("train_step", self.train_step), ("eval_step", self.eval_step)):
            found[key] = None if step is None else step.function
        return {key: item for key, item in found.items() if item is not None}

    @property
    def schedules(self) -> dict[str, WeightSchedule]:
        """What gives the weights of losses at each step, by display name."""
        found = {item.shown_as: item.schedule for item in self.losses}
        return {name: schedule for name, schedule in found.items() if schedule is not None}

    @property
    def optimizers(self) -> list[Optimizer]:
        """What steps in it: the optimizers of its nodes, then those of its losses, once each."""
        own = (optimizer for item in self.losses for optimizer in item.optimizers)
        return distinct([*self.graph.optimizers, *own])

    def name_of(self, optimizer: Optimizer) -> str:
        """What the config calls an optimizer; that of no config is called by its class."""
        return self.optimizer_names.get(id(optimizer), type(optimizer).__name__)

    @property
    def trained(self) -> list[nn.Module]:
        """The models, and the losses, that it changes."""
        losses = (item.loss.function for item in self.losses if item.optimizer is not None)
        return distinct([*self.graph.trained, *losses, *self.trained_by_losses])

    @property
    def trained_by_losses(self) -> list[nn.Module]:
        """The models that losses train, and no node."""
        return distinct(model for item in self.losses for model in item.trained)

    @property
    def models_of_losses(self) -> list[tuple[nn.Module, Calling]]:
        """The models that losses are called with, and how each is run."""
        return [model for item in self.losses for model in item.models]

    @property
    def left_out(self) -> list[nn.Parameter]:
        """Parameters of what it trains that its optimizers leave out on purpose."""
        held = {id(parameter) for parameter in parameters_of(self.optimizers)}
        left_out = (p for o in self.optimizers for p in self.untrained.get(id(o), ()))
        return [parameter for parameter in left_out if id(parameter) not in held]

    @property
    def modules(self) -> list[nn.Module]:
        """Every module that runs in it, once: those of the graph, losses, and models of losses."""
        losses = [item.loss.function for item in self.losses]
        parts = [*self.graph.modules, *(loss for loss in losses if isinstance(loss, nn.Module))]
        parts += [model for model, _ in self.models_of_losses]
        return distinct(parts)

    @property
    def reached(self) -> list[nn.Module]:
        """The same, and every module that an object of the user calls by itself."""
        return distinct([*self.graph.reached, *self.modules, *self.called()])

    @property
    def rng_holders(self) -> dict[str, Any]:
        """What may keep random number generators of its own, each once, by a name."""
        own = {f"part {i}": part for i, part in enumerate(self.parts)}
        sources = {link.pipeline: self.pipelines[link.pipeline] for link in self.links}
        linked = {
            f"{name} {key}": part
            for name, source in sources.items()
            for key, part in source.rng_holders.items()
        }
        return rng_holders_of(self.inputs) | own | linked

    @property
    def parts(self) -> list[Any]:
        """Everything of the user that runs in it beside its data, modules or not."""
        scores = [*(item.loss for item in self.losses), *(item.metric for item in self.metrics)]
        parts = [part for score in scores for part in (score.function, score.transform)]
        parts += self.steps.values()
        return parts + [part for p in self.graph.processors.values() for part in p.parts]

    def training_data(self, batch_loaded: Sequence[Callable[[str, Any], None]] = ()) -> MultiLoader:
        """The frames of training: shuffled, unless a loader factory says otherwise.

        Args:
            batch_loaded: See :class:`MultiLoader`.
        """
        world = self.world
        cut = None if world is None else Cut(world.parts, world.own, world.runs_jointly)
        ports = [
            Port(
                source.port,
                source.factory.for_training(
                    derived(self.seed, self.name, source.port), self.graph.is_on_cuda, cut
                ),
                source.columns,
                source.factory.name,
                source.factory.dataset_name,
                _put(self.graph),
                source.dropped,
                source.restarts,
            )
            for source in self.inputs
        ]
        if cut is not None:
            cutting = RepeatingCutLoader if self.repeats else CutMultiLoader
            return cutting(cut, ports, batch_loaded, self.limit)
        kind = RepeatingLoader if self.repeats else MultiLoader
        return kind(ports, batch_loaded, self.limit)

    def evaluation_data(self, turn: TurnOf | None = None) -> MultiLoader:
        """The frames of evaluation: every dataset once, in its own order.

        Args:
            turn: Whose batches, where several processes take turns; None is all.
        """
        seed = derived(self.seed, self.name)
        return evaluation_data(self.inputs, seed, self.graph, self.limit, turn)


def rng_holders_of(inputs: Sequence[InputSource]) -> dict[str, Any]:
    """The datasets and collators behind some inputs, and what augments them."""
    factories = [source.factory for source in inputs]
    datasets = {f"dataset {i}": factory.dataset for i, factory in enumerate(factories)}
    collators = {f"collator {i}": factory.collator for i, factory in enumerate(factories)}
    augments = [augment.transform for factory in factories for augment in factory.augments]
    return datasets | collators | {f"augment {i}": part for i, part in enumerate(augments)}


def evaluation_data(
    inputs: Sequence[InputSource],
    seed: int,
    graph: BatchGraph | None = None,
    limit: int | None = None,
    turn: TurnOf | None = None,
) -> MultiLoader:
    """Frames of every dataset in its own order.

    Args:
        inputs: What feeds each port.
        seed: What is random in it follows from that.
        graph: What the frames are for; None leaves them on the host.
        limit: So many batches are all that there are; None gives every one.
        turn: Whose batches, where several processes take turns; None is all.
    """
    pins = graph is not None and graph.is_on_cuda
    put = None if graph is None else _put(graph)
    return MultiLoader(
        [
            Port(
                source.port,
                source.factory.for_evaluation(derived(seed, source.port), pins, turn),
                source.columns,
                source.factory.name,
                source.factory.dataset_name,
                put,
                source.dropped,
                source.restarts,
            )
            for source in inputs
        ],
        limit=limit,
    )


def _put(graph: BatchGraph) -> Callable[[Frame], Frame] | None:
    """What brings the frames of the ports to the graph."""
    home = graph.home
    return partial(prefetched, device=home) if home is not None and home.type == "cuda" else None
