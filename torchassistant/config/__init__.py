"""From the text of a config to a checked, typed spec. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from torchassistant.config.check import check
from torchassistant.config.complete import complete
from torchassistant.config.overlay import lay_over
from torchassistant.config.reader import read_file
from torchassistant.config.spec import Block, EvaluationSpec, InferenceSpec, Spec
from torchassistant.config.spelling import in_our_words
from torchassistant.config.tree import as_tree
from torchassistant.config.validate import validate
from torchassistant.errors import ConfigError, Place, Problem

B = TypeVar("B", bound=Block)

__all__ = [
    "EvaluationSpec",
    "InferenceSpec",
    "Spec",
    "as_data",
    "lay_over",
    "load",
    "parse",
    "read",
    "validate",
]


def read(source: str | Path | Mapping[str, Any], file: str = "") -> Any:
    """A config in our words, from a file or from data that was made in Python.

    Raises:
        ConfigError: It cannot be read, or is no object.
    """
    name = file or ("" if isinstance(source, Mapping) else str(source))
    tree = as_tree(source) if isinstance(source, Mapping) else read_file(source)
    if not isinstance(tree, dict):
        raise ConfigError(Problem("a config is one JSON object", Place(name, 1, 1)))
    return in_our_words(tree, name)


def load(source: str | Path | Mapping[str, Any]) -> Spec:
    """A training config as a completed and checked spec.

    Raises:
        ConfigError: With every problem that was found.
    """
    return parse(read(source), "" if isinstance(source, Mapping) else str(source))


def parse(tree: Any, file: str = "", used: Callable[[Spec], Collection[str]] | None = None) -> Spec:
    """The completed and checked spec of a tree that is in our words already.

    Args:
        tree: As :func:`read` gives it.
        file: The file to name where no position is known.
        used: Where it is not to be trained: chooses the pipelines that are to be run.

    Raises:
        ConfigError: With every problem that was found.
    """
    spec = complete(validate(Spec, tree, file))
    problems = check(spec, tree, file, None if used is None else used(spec))
    if problems:
        raise ConfigError(*problems)
    return spec


def as_data(spec: Block) -> dict[str, Any]:
    """A spec as plain JSON data, in the form in which it can be read again."""
    return spec.model_dump(mode="json", by_alias=True, exclude_none=True)
