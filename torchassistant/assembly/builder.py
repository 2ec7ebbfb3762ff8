"""Builds the definitions of a config, one group after its own fashion."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from torchassistant.assembly.allowlist import Allowlist
from torchassistant.assembly.build_order import build_order
from torchassistant.assembly.compute_options import MEMORY_FORMATS, compiling_of
from torchassistant.assembly.dataset_cache import has_length, with_cache
from torchassistant.assembly.devices import Devices
from torchassistant.assembly.object_maker import ObjectMaker, PlaceOf
from torchassistant.assembly.parts import Parts
from torchassistant.assembly.pretrained import LeftOut
from torchassistant.assembly.reachable_models import models_reached
from torchassistant.assembly.roles import takes_optimizer_first
from torchassistant.collators import DefaultCollator
from torchassistant.config.references import LOSSES, Key, Reference, module_named
from torchassistant.config.spec import NodeSpec, ObjectSpec, ScoreSpec, Spec
from torchassistant.config.tree import Path
from torchassistant.data import (
    Augment,
    CachedDataset,
    LoaderFactory,
    MergedDataset,
    PreprocessedDataset,
    Split,
    split_indices,
)
from torchassistant.data.batch_errors import Origin, failure_of_fit
from torchassistant.data.rng import (
    derived,
    random_state,
    same_state,
    seed_everything,
    seeded,
)
from torchassistant.errors import ConfigError, DataError, Problem, blaming
from torchassistant.graph import BatchGraph, Calling, NeuralProcessor, Node, ObjectProcessor
from torchassistant.training import GradientClipper, Loss, Metric, Scheduler
from torchassistant.training.optimizer_calls import NEEDS_CLOSURE, needs_closure


@dataclass(slots=True)
class FittedArtifacts:
    """What is decided once, when a session is created, and stands ever after.

    Args:
        splits: For each split, one int64 tensor of indices a slice.
        redraws: Whether splits that do not fit their dataset any more are drawn again.
        preprocessors: The state of each preprocessor that has one.
    """

    splits: dict[str, list[torch.Tensor]] = field(default_factory=dict)
    redraws: bool = False
    preprocessors: dict[str, Any] = field(default_factory=dict)


class Builder:
    """Builds definitions into parts.

    Args:
        spec: The config, checked.
        parts: What is filled; also what a ``factory_fn`` gets.
        devices: Where things are.
        fitted: What was decided when the session was created.
        place_of: Where things stand in the user's files.
        allowlist: Decides what may be imported.
        stored: The definitions whose state is put back when all is built.
        dry: Whether nothing may be fetched, nor written.
    """

    def __init__(
        self,
        spec: Spec,
        parts: Parts,
        devices: Devices,
        fitted: FittedArtifacts,
        place_of: PlaceOf,
        allowlist: Allowlist,
        stored: Collection[Key] = (),
        dry: bool = False,
    ) -> None:
        self.spec = spec
        self.parts = parts
        self.devices = devices
        self.fitted = fitted
        self.stored = stored
        self.maker = ObjectMaker(parts, place_of, allowlist, dry)
        self.drew: set[Key] = set()
        self.definitions: dict[Key, Any] = {
            Key(d.group, d.name): d for d in spec.initialize.definitions
        }
        self.paths: dict[Key, Path] = {
            key: ("initialize", "definitions", index, "spec")
            for index, key in enumerate(self.definitions)
        }
        self.builders: dict[str, Callable[[str, Any, Path], Any]] = {
            "datasets": self.dataset,
            "splits": self.split,
            "preprocessors": self.preprocessor,
            "collators": self.collator,
            "loader_factories": self.loader_factory,
            "models": self.model,
            "optimizers": self.optimizer,
            "losses": self.loss,
            "metrics": self.metric,
            "batch_processors": self.batch_processor,
            "batch_graphs": self.batch_graph,
            "gradient_clippers": self.gradient_clipper,
            "backward_hooks": self.backward_hooks,
            "forward_hooks": self.forward_hooks,
        }

    def build(self, wanted: Iterable[Key] | None = None) -> None:
        """Build all definitions, or only these and what they need; what is there already stays.

        Each is built under a seed of its own, so that one more definition changes no other.
        """
        with seeded(self.parts.seed):
            for key in build_order(self.definitions, wanted, self.is_given):
                if dict.__contains__(getattr(self.parts, key.group), key.name):
                    continue
                seed_everything(derived(self.parts.seed, *key))
                before = random_state() if key.group in _MADE_OF_DATA else None
                built = self.restorable(key) if key in self.stored else self.built(key)
                if before is not None and not same_state(before, random_state()):
                    self.drew.add(key)
                if key.group == "datasets" and self.definitions[key].spec.cache is not None:
                    built = self.cached(built, key.name, self.paths[key])
                getattr(self.parts, key.group)[key.name] = built

    def built(self, key: Key) -> Any:
        """One definition, as its group is built."""
        return self.builders[key.group](key.name, self.definitions[key].spec, self.paths[key])

    def restorable(self, key: Key) -> Any:
        """One whose state is put back afterwards: weights that this replaces are not read."""
        self.parts.restoring, self.maker.left_out = True, LeftOut()
        try:
            built = self.built(key)
            if not self.maker.left_out.is_missed_in(built):
                return built
            # It keeps some of the weights where nobody would put them back.
            self.maker.left_out = None
            seed_everything(derived(self.parts.seed, *key))
            return self.built(key)
        finally:
            self.parts.restoring, self.maker.left_out = False, None

    def is_given(self, key: Key, reference: Reference) -> bool:
        """A preprocessor that is fitted already needs no data."""
        fitted = key.group == "preprocessors" and key.name in self.fitted.preprocessors
        return fitted and reference.path == ("spec", "fit")

    # Data

    def dataset(self, name: str, spec: Any, path: Path) -> Any:
        if spec.is_object:
            dataset = self.maker.make(spec, path, f'the dataset "{name}"', "datasets")
        elif spec.link:
            dataset = self.parts.dataset(spec.link)
        else:
            dataset = MergedDataset([self.parts.dataset(part) for part in spec.merge])
        if not any(spec.preprocessors):
            return dataset
        processes = [self.parts.preprocessors[p].process if p else None for p in spec.preprocessors]
        return PreprocessedDataset(dataset, processes, name)

    def cached(self, dataset: Any, name: str, path: Path) -> CachedDataset:
        if not has_length(dataset):
            message = f'the dataset "{name}" has no length or can only be iterated over'
            raise self.maker.problem(f"{message}, and cannot be cached", (*path, "cache"))
        decided = {Key("splits", key): value for key, value in self.fitted.splits.items()}
        for key, value in self.fitted.preprocessors.items():
            decided[Key("preprocessors", key)] = value
        return with_cache(dataset, name, self.spec, self.maker.allowlist, decided, self.drew)

    def split(self, name: str, spec: Any, path: Path) -> Split:
        dataset = self.parts.dataset(spec.dataset_name)
        count = len(dataset)
        indices = self.fitted.splits.get(name)
        fits = indices is not None and sum(map(len, indices)) == count
        if indices is not None and len(indices) != len(spec.ratio) and not self.fitted.redraws:
            raise DataError(
                f'the split "{name}" has {len(spec.ratio)} slices, and {len(indices)} are stored'
            )
        if indices is not None and not fits and not self.fitted.redraws:
            raise DataError(
                f'the split "{name}" was drawn over {sum(map(len, indices))} examples; the '
                f'dataset "{spec.dataset_name}" has {count} now'
            )
        if indices is None or not fits:
            seed = derived(self.parts.seed, "splits", name)
            try:
                indices = split_indices(count, spec.ratio, seed)
            except DataError as error:
                raise self.maker.problem(f'the split "{name}": {error}', path) from None
        self.fitted.splits[name] = indices
        return Split(dataset, indices)

    def preprocessor(self, name: str, spec: Any, path: Path) -> Any:
        what = f'the preprocessor "{name}"'
        preprocessor = self.maker.make(spec, path, what, "preprocessors")
        if not callable(getattr(preprocessor, "process", None)):
            raise self.maker.problem(f"{what} has no method process(value)", path)
        with blaming(f"fitting {what}"):
            if name in self.fitted.preprocessors:
                _restore(preprocessor, self.fitted.preprocessors[name], what)
            elif spec.fit:
                if not callable(getattr(preprocessor, "fit", None)):
                    message = f"{what} has no method fit(dataset)"
                    raise self.maker.problem(message, (*path, "fit"))
                self.fit(preprocessor, spec.fit)
            if spec.fit or hasattr(preprocessor, "state_dict"):
                self.fitted.preprocessors[name] = _state(preprocessor)
        return preprocessor

    def fit(self, preprocessor: Any, name: str) -> None:
        """Let a preprocessor learn; an example that is not like the others is told by its index."""
        dataset = self.parts.dataset(name)
        try:
            preprocessor.fit(dataset)
        except Exception as error:
            origin = Origin(dataset, name, self.parts.datasets)
            column = getattr(preprocessor, "column", None)
            explained = failure_of_fit(origin, error, column if type(column) is int else None)
            if explained is error:
                raise
            raise explained from explained.__cause__

    def collator(self, name: str, spec: Any, path: Path) -> Any:
        what = f'the collator "{name}"'
        return self.maker.make(spec, path, what, "collators")

    def loader_factory(self, name: str, spec: Any, path: Path) -> LoaderFactory:
        collator = self.parts.collators[spec.collator] if spec.collator else DefaultCollator()
        what = f'the loader factory "{name}"'
        kwargs = self.maker.arguments(spec.kwargs, (*path, "kwargs"), what, "loader_factories")
        dataset = self.parts.dataset(spec.dataset)
        augments = self.augments(spec, path, what)
        factory = LoaderFactory(
            dataset, collator, kwargs, name, spec.dataset, augments, named=self.parts.datasets
        )
        self.check_loader(factory, path)
        return factory

    def augments(self, spec: Any, path: Path, what: str) -> list[Augment]:
        made = []
        for index, one in enumerate(spec.augments):
            several = isinstance(spec.augment, list)
            here = (*path, "augment", index) if several else (*path, "augment")
            of_what = f"augment {index} of {what}" if several else f"the augment of {what}"
            transform = self.maker.make(one, here, of_what, "augment")
            transform = _callable(transform, of_what, self.maker, here)
            made.append(Augment(transform, one.on, one.columns, of_what))
        return made

    def check_loader(self, factory: LoaderFactory, path: Path) -> None:
        """Build a loader of each kind once, so that arguments that do not fit are found here."""
        try:
            factory.check()
        except Exception as error:
            message = f'the loader factory "{factory.name}": {error}'
            raise self.maker.problem(message, (*path, "kwargs")) from None

    # Models and what trains them

    def model(self, name: str, spec: Any, path: Path) -> nn.Module:
        what = f'the model "{name}"'
        model = self.maker.make(spec, path, what, "models")
        if not isinstance(model, nn.Module):
            kind = type(model).__name__
            raise self.maker.problem(f"{what} must be a torch.nn.Module; found {kind}", path)
        model = model.to(self.devices.models.get(name, self.devices.base))
        if spec.memory_format:
            model = model.to(memory_format=MEMORY_FORMATS[spec.memory_format])
        return model

    def optimizer(self, name: str, spec: Any, path: Path) -> Optimizer:
        what = f'the optimizer "{name}"'
        model = self.trainable(spec.model, path)
        optimizer = self.maker.make(spec, path, what, "optimizers", [model.parameters()])
        if not isinstance(optimizer, Optimizer):
            kind = type(optimizer).__name__
            raise self.maker.problem(f"{what} must be a torch.optim.Optimizer; found {kind}", path)
        if needs_closure(optimizer.step):
            raise self.maker.problem(f"{what}: {type(optimizer).__name__} {NEEDS_CLOSURE}", path)
        if spec.lr_scheduler:
            here = (*path, "lr_scheduler")
            self.parts.schedulers[name] = self.scheduler(name, spec.lr_scheduler, optimizer, here)
        return optimizer

    def trainable(self, name: str, path: Path) -> nn.Module:
        """The model, or the loss, that an optimizer, a clipper or a hook at a path names."""
        module, key = self.parts.module(name), module_named(name)
        what = f'the {"loss" if key.group == LOSSES else "model"} "{key.name}"'
        if not isinstance(module, nn.Module) or next(module.parameters(), None) is None:
            raise self.maker.problem(f"{what} has no parameters", (*path, "model"))
        # A model is where it belongs already; optimizers want to know where parameters are.
        return module.to(self.devices.base) if key.group == LOSSES else module

    def scheduler(self, name: str, spec: Any, optimizer: Optimizer, path: Path) -> Scheduler:
        def first_of(target: Any) -> Sequence[Any]:
            # Schedulers inside a scheduler get the optimizer first too, if they take it first.
            return [optimizer] if takes_optimizer_first(target) else []

        what = f'the scheduler of the optimizer "{name}"'
        scheduler = self.maker.make(spec, path, what, "lr_scheduler", [optimizer], first_of)
        if isinstance(scheduler, ReduceLROnPlateau) and spec.monitor is None:
            message = f'{what} listens to a result, so it needs "monitor", a display name'
            raise self.maker.problem(message, path)
        return Scheduler(name, optimizer, scheduler, spec.interval, spec.monitor)

    def gradient_clipper(self, name: str, spec: Any, path: Path) -> GradientClipper:
        of_loss = module_named(spec.model).group == LOSSES
        model = self.trainable(spec.model, path) if of_loss else self.parts.models[spec.model]
        return GradientClipper(model, spec.clip_value, spec.clip_norm)

    def backward_hooks(self, name: str, spec: Any, path: Path) -> list[Any]:
        parameters = [
            (own, parameter)
            for own, parameter in self.parts.module(spec.model).named_parameters()
            if parameter.requires_grad
        ]
        hooks = self.hooks(name, spec, path, [own for own, _ in parameters])
        return [
            parameter.register_hook(hook)
            for (_, parameter), hook in zip(parameters, hooks, strict=True)
            if hook is not None
        ]

    def forward_hooks(self, name: str, spec: Any, path: Path) -> list[Any]:
        modules = list(self.parts.module(spec.model).named_modules())
        hooks = self.hooks(name, spec, path, [own for own, _ in modules])
        return [
            module.register_forward_hook(hook)
            for (_, module), hook in zip(modules, hooks, strict=True)
            if hook is not None
        ]

    def hooks(self, name: str, spec: Any, path: Path, names: Sequence[str]) -> list[Any]:
        factory = self.maker.find(spec.factory_fn, (*path, "factory_fn"), "forward_hooks")
        what = f'the hooks "{name}"'
        return [self.maker.call(factory, [own], {}, path, what) for own in names]

    # Losses and metrics

    def loss(self, name: str, spec: ScoreSpec, path: Path) -> Loss:
        what = f'the loss "{name}"'
        function = self.maker.make(spec, path, what, "losses")
        return Loss(what, function, spec.inputs, self.transform(spec, path, what))

    def metric(self, name: str, spec: ScoreSpec, path: Path) -> Metric:
        what = f'the metric "{name}"'
        function = self.maker.make(spec, path, what, "metrics")
        transform = self.transform(spec, path, what)
        return Metric(what, function, spec.inputs, transform, self.parts.with_models)

    def transform(self, spec: ScoreSpec, path: Path, what: str) -> Callable[..., Any] | None:
        here = (*path, "transform")
        of_what = f"the transform of {what}"
        if spec.transform is None:
            return None
        described = spec.transform
        if isinstance(described, str):
            described = ObjectSpec(class_=described)
        made = self.maker.make(described, here, of_what, "transform", [self.parts])
        return _callable(made, of_what, self.maker, here)

    # Graphs

    def batch_processor(self, name: str, spec: Any, path: Path) -> Any:
        what = f'the batch processor "{name}"'
        device = self.devices.processors[name]
        if spec.is_object:
            made = self.maker.make(spec, path, what, "batch_processors")
            function = _callable(made, what, self.maker, path)
            if isinstance(function, nn.Module):
                function.to(device)
            return ObjectProcessor(name, function)
        adapters: dict[str, Any] = {}
        for key in ("input_adapter", "output_adapter"):
            part = getattr(spec, key)
            if part is None:
                adapters[key] = None
                continue
            here, of_what = (*path, key), f"the {key.replace('_', ' ')} of {what}"
            made = self.maker.make(part, here, of_what, key)
            adapters[key] = _callable(made, of_what, self.maker, here)
        nodes = [
            Node(
                node.node_name,
                self.parts.models[node.model_name],
                tuple(node.inputs),
                tuple(node.outputs),
                self.parts.optimizers[node.optimizer_name] if node.optimizer_name else None,
                self.calling(node),
            )
            for node in spec.neural_graph
        ]
        return NeuralProcessor(
            name,
            nodes,
            adapters["input_adapter"],
            adapters["output_adapter"],
            device,
            self.devices.moves,
            compiling_of(spec.compile),
        )

    def calling(self, node: NodeSpec) -> Calling:
        """How the model of a node is called."""
        compiling = compiling_of(node.compile)
        memory_format = self.spec.group("models")[node.model_name].memory_format
        return Calling(
            forward=None if compiling is None else compiling(self.parts.models[node.model_name]),
            checkpoints=node.activation_checkpointing,
            in_eval_mode=node.mode == "eval",
            memory_format=MEMORY_FORMATS[memory_format] if memory_format else None,
        )

    def batch_graph(self, name: str, spec: Any, path: Path) -> BatchGraph:
        processors = {node: self.parts.batch_processors[node] for node in spec.nodes}
        # Models stand for themselves, but may hide others where they do not count as their parts.
        objects = [part for processor in processors.values() for part in processor.parts]
        called = self.calls_of(objects)
        return BatchGraph(name, processors, spec.input_aliases, spec.ingoing_edges, called)

    def calls_of(self, objects: Sequence[Any]) -> Callable[[], Sequence[nn.Module]]:
        """Gives the modules that objects may call, once everything is built; looked for once."""
        parts = self.parts
        return cache(lambda: models_reached(objects, parts, parts.models))


_MADE_OF_DATA = ("datasets", "preprocessors")


def _callable(value: Any, what: str, maker: ObjectMaker, path: Path) -> Callable[..., Any]:
    if not callable(value):
        problem = Problem(f"{what} cannot be called", maker.place_of(path))
        raise ConfigError(problem)
    return value


def _state(preprocessor: Any) -> Any:
    """What a preprocessor has learnt: its state_dict, else its attributes."""
    if hasattr(preprocessor, "state_dict"):
        return preprocessor.state_dict()
    return dict(vars(preprocessor))


def _restore(preprocessor: Any, state: Any, what: str) -> None:
    if hasattr(preprocessor, "load_state_dict"):
        preprocessor.load_state_dict(state)
    elif isinstance(state, dict) and all(isinstance(key, str) for key in state):
        vars(preprocessor).update(state)
    else:
        raise DataError(f"what is stored of {what} is no table of its attributes")
