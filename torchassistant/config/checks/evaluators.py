"""The evaluators of a stage: each once, under columns that nothing else has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torchassistant.config.checks.keyed_columns import KEY
from torchassistant.config.checks.scope import Scope
from torchassistant.config.checks.unknown import Unknown
from torchassistant.config.checks.view import View


def check_evaluators(scope: Scope, stage: View, shown: Mapping[Any, str]) -> None:
    """Check the evaluators of a stage.

    Args:
        scope: The config.
        stage: The stage.
        shown: The display names of its validation pipelines, each with the pipeline's name.
    """
    first: set[Any] = set()
    for entry in stage.evaluators:
        name = entry.evaluator
        if isinstance(name, Unknown):
            continue
        if name in first:
            scope.note(
                f'"{name}" is called twice in this stage, and its columns would be the same; '
                "define it once more under another name",
                entry.at("evaluator"),
            )
        first.add(name)
        for other, pipeline in shown.items():
            if isinstance(other, str) and (other == name or other.startswith(f"{name}/")):
                message = f'"{other}" is shown by the pipeline "{pipeline}" too'
                scope.note(f"{message}; give one another name", entry.at("evaluator"))


def columns_of_evaluators(stage: View) -> list[str]:
    """For each evaluator of a stage that can be read, what stands for its columns."""
    names = [entry.evaluator for entry in stage.evaluators]
    return [f"{name}/{KEY}" for name in names if isinstance(name, str)]
