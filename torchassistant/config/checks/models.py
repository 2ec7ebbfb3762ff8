"""Models that are made of others: parts of models, and averages over their training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torchassistant.config.checks.resolver import Names
from torchassistant.config.checks.scope import Scope
from torchassistant.config.checks.unknown import Unknown
from torchassistant.config.checks.view import View
from torchassistant.config.groups.models import is_average

_TRAINING = ("optimizers", "gradient_clippers", "backward_hooks")
"""Groups of what has to do with the training of a model that it names."""


def check_models(scope: Scope) -> None:
    """Averages are of models that are trained, and nothing trains an average."""
    for model in scope.groups["models"].values():
        name = model.spec.average_of
        is_other = isinstance(name, str) and name != model.name
        if is_other and is_average(name, scope.models):
            message = f'"{name}" is an average itself; an average is of a model that is trained'
            scope.note(message, model.spec.at("average_of"))
        _statistics(scope, model)
    for group in _TRAINING:
        for definition in scope.groups[group].values():
            for use in _models_of(definition.spec):
                if is_average(use.name, scope.models):
                    message = f'the model "{use.name}" is an average, and nothing else changes it'
                    scope.note(message, use.path)
    for processor in scope.groups["batch_processors"].values():
        for node in processor.spec.neural_graph or ():
            name = node.model_name
            if node.buffers == "move" and isinstance(name, str) and is_average(name, scope.models):
                message = f'the buffers of the average "{name}" follow those of its model only'
                scope.note(message, node.at("buffers"))


def _statistics(scope: Scope, model: View) -> None:
    """The pipeline through which statistics are recomputed is there, and runs the model."""
    name = model.spec.block.update_bn
    if not isinstance(name, str):
        return
    use = model.spec.use("update_bn")
    table = scope.config.initialize.pipelines
    unreadable = table.unreadable if isinstance(table, Unknown) else 0
    scope.resolver.resolve(
        Names(scope.spec.initialize.pipelines, unreadable),
        [use],
        lambda name, hint: f'no pipeline is named "{name}"{hint}',
        is_shared=True,
    )
    source = model.spec.average_of
    is_known = name in scope.spec.initialize.pipelines and isinstance(source, str)
    if is_known and not scope.spec.runs_in_train_mode(name, source):
        message = (
            f'no node of the pipeline "{name}" runs "{source}" in train mode, on data of its own'
        )
        scope.note(message, use.path)


def _models_of(spec: View) -> Iterator[Any]:
    """What stands under ``model``: a name, or several."""
    if isinstance(spec.block.model, list):
        yield from spec.model
    elif spec.block.model is not None and not isinstance(spec.model, Unknown):
        yield spec.use("model")
