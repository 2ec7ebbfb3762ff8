"""Evaluators with the models and the data that a stage, or an evaluation, calls them with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from torchassistant.assembly.builder import Builder
from torchassistant.assembly.compute_options import precision_of_models
from torchassistant.config import Key, Path, Spec, StageEvaluatorSpec
from torchassistant.errors import blaming
from torchassistant.graph import is_part_of_one
from torchassistant.training import StageEvaluator, StopCheck


def wanted_by_evaluators(spec: Spec, entries: Sequence[StageEvaluatorSpec]) -> Iterator[Key]:
    """The definitions that evaluators are called with, and they themselves."""
    for entry in entries:
        yield Key("evaluators", entry.evaluator)
        names = spec.group("models") if entry.models is None else entry.models.values()
        yield from (Key("models", name) for name in names)
        if entry.loader_factory is not None:
            yield Key("loader_factories", entry.loader_factory)


def evaluators_of(
    builder: Builder, entries: Sequence[StageEvaluatorSpec], path: Path
) -> list[StageEvaluator]:
    """The evaluators of a list that stands at a path.

    Raises:
        ConfigError: The ``columns`` of one are no names.
    """
    return [_one(builder, entry, (*path, index)) for index, entry in enumerate(entries)]


def _one(builder: Builder, entry: StageEvaluatorSpec, path: Path) -> StageEvaluator:
    parts = builder.parts
    function = parts.evaluators[entry.evaluator]
    own = parts.models
    names = dict(zip(own, own, strict=True)) if entry.models is None else entry.models
    models = {name: own[one] for name, one in names.items()}
    factory = entry.loader_factory
    return StageEvaluator(
        entry.evaluator,
        function,
        models,
        None if factory is None else parts.loader_factories[factory],
        parts.seed,
        entry.every_epochs,
        _refreshes(builder, models),
        _declared(builder, entry.evaluator, function, path),
        autocast=precision_of_models(builder.spec, builder.devices, names.values()).forward,
        only_first=entry.on == "first",
    )


def _refreshes(
    builder: Builder, models: Mapping[str, nn.Module]
) -> list[Callable[[StopCheck], None]]:
    return [
        average.refresh
        for average in builder.parts.averages.values()
        if average.recompute is not None
        and any(is_part_of_one(model, [average.model]) for model in models.values())
    ]


def _declared(builder: Builder, name: str, function: Any, path: Path) -> tuple[str, ...] | None:
    """The keys that an evaluator says that it gives; None where it says nothing."""
    what = f'the evaluator "{name}"'
    with blaming(what):
        columns = getattr(function, "columns", None)
    if columns is None:
        return None
    is_list = isinstance(columns, (list, tuple))
    if not is_list or not all(isinstance(one, str) and one for one in columns):
        message = f'the "columns" of {what} must be a list of names'
        raise builder.maker.problem(message, (*path, "evaluator"))
    if len(set(columns)) < len(columns):
        message = f'the "columns" of {what} name a key twice'
        raise builder.maker.problem(message, (*path, "evaluator"))
    return tuple(columns)
