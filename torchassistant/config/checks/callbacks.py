"""Which callbacks a run has: each is there, and is named once."""

from __future__ import annotations

from typing import Any

from torchassistant.config.checks.scope import Scope
from torchassistant.config.checks.unknown import Unknown
from torchassistant.config.checks.view import View


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
    scope.resolver.resolve(
        scope.names("callbacks"),
        uses,
        lambda name, hint: f'no callback is named "{name}"{hint}',
        is_shared=True,
    )


def has_callbacks(scope: Scope, stage: View) -> bool:
    """Whether a stage may have rows with columns of callbacks, which only their objects know."""
    return _is_any(scope.config.train.callbacks) or _is_any(stage.callbacks)


def _is_any(names: Any) -> bool:
    return isinstance(names, Unknown) or bool(names)
