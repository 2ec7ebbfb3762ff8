"""Which callbacks a run has: each is there, and is named once."""

from __future__ import annotations

from typing import Any

from torchassistant.config.checks.resolver import Names
from torchassistant.config.checks.scope import Scope
from torchassistant.config.checks.unknown import Unknown
from torchassistant.config.checks.view import View
from torchassistant.config.missing_parts import TRAINING, VALIDATION


def check_callbacks(scope: Scope) -> None:
    """Report callbacks that there are not, and those that a stage would call twice."""
    of_all = scope.config.train.callbacks
    named = [of_all, *(stage.callbacks for stage in scope.config.train.stages)]
    everywhere = [] if isinstance(of_all, Unknown) else of_all.names
    uses = []
    for names in named:
        if isinstance(names, Unknown):
            continue
        uses += names
        for use in names.repeated():
            scope.note(f'"{use.name}" is listed twice', use.path)
        for use in names if names is not of_all else ():
            if use.name in everywhere:
                message = f'"{use.name}" is among "train.callbacks", and is called in each stage'
                scope.note(message, use.path)
    _check_before_epochs(scope)
    scope.resolver.resolve(
        scope.names("callbacks"),
        uses,
        lambda name, hint: f'no callback is named "{name}"{hint}',
        is_shared=True,
    )


def _check_before_epochs(scope: Scope) -> None:
    """Report what is to run before epochs and is neither a callback nor a pipeline."""
    pipelines = scope.config.initialize.pipelines
    unreadable = pipelines.unreadable if isinstance(pipelines, Unknown) else 0
    there = scope.spec.initialize.pipelines or [TRAINING, VALIDATION]
    scope.resolver.resolve(
        scope.names("callbacks") | Names(there, unreadable),
        [use for stage in scope.config.train.stages for use in _uses(stage.run_before_epoch)],
        lambda name, hint: f'no callback and no pipeline is named "{name}"{hint}',
        is_shared=True,
    )


def _uses(names: Any) -> Any:
    return () if isinstance(names, Unknown) else names


def has_callbacks(scope: Scope, stage: View) -> bool:
    """Whether a stage may have rows with columns of callbacks, which only their objects know."""
    return _is_any(scope.config.train.callbacks) or _is_any(stage.callbacks)


def _is_any(names: Any) -> bool:
    return isinstance(names, Unknown) or bool(names)
