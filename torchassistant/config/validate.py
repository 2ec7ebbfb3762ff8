"""A tree → a typed block. What does not fit is reported, repaired, and marked as broken.

Repairing lets the later levels of the check see everything else: a key that is misspelt is taken
for the key that was meant, and what cannot be read is replaced by a placeholder of which, as it is
broken, nothing more is said.
"""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from torchassistant.config.block_fields import PLACEHOLDER
from torchassistant.config.blocks import Block
from torchassistant.config.diagnostics import Diagnostics
from torchassistant.config.repair import Repair
from torchassistant.config.tree import Path, Table

B = TypeVar("B", bound=Block)

_ROUNDS = 20
"""Repairing one thing may uncover another inside it, never deeper than the language is nested."""
_MOST_REPAIRED = 10_000
"""Where more is wrong, so much of it is reported, and nothing else is looked at."""
_NAMING = (("initialize", "pipelines"), ("initialize", "debug_pipelines"))
"""Tables whose keys are names."""


def validate(block: type[B], tree: Any, diagnostics: Diagnostics) -> B | None:
    """Check a tree against a block of the language.

    Args:
        block: What it should be.
        tree: Changed in place where it is repaired.
        diagnostics: Gets the problems, and the parts that were repaired.

    Returns:
        The block, repaired where it had to be; None where the tree is past repair.
    """
    _expect_names(tree, diagnostics)
    repair = Repair(block, tree, diagnostics)
    while (found := _repaired(repair)) is not None:
        if repair.put_back(found):
            continue
        is_changed = repair.set_aside_unreadable()
        return block.model_validate(tree) if is_changed else found
    return None


def _expect_names(tree: Any, diagnostics: Diagnostics) -> None:
    """Report what has an empty name, and give it one."""
    for path in _NAMING:
        table = tree
        for step in path:
            table = table.get(step) if isinstance(table, dict) else None
        if isinstance(table, Table) and "" in table:
            diagnostics.note("a name was expected, and this one is empty", (*path, ""), at_key=True)
            table.take(table, "", as_key=PLACEHOLDER)
            del table[""]
            diagnostics.broken.add((*path, PLACEHOLDER))


def _repaired(repair: Repair[B]) -> B | None:
    """The block, as soon as the tree fits; None where it is past repair."""
    for _ in range(_ROUNDS):
        try:
            return repair.block.model_validate(repair.tree)
        except ValidationError as error:
            details = error.errors(include_url=False)[:_MOST_REPAIRED]
            repair.repair(_by_path(repair.tree, details))
            if error.error_count() > _MOST_REPAIRED:
                return None
    return None


def _by_path(tree: Any, errors: list[ErrorDetails]) -> dict[Path, list[ErrorDetails]]:
    found: dict[Path, list[ErrorDetails]] = {}
    for details in errors:
        found.setdefault(_real_path(tree, details), []).append(details)
    return found


def _real_path(tree: Any, details: ErrorDetails) -> Path:
    """pydantic's location without the tags of unions, which are no keys of the config."""
    path: list[str | int] = []
    node = tree
    for step in details["loc"]:
        inside = (isinstance(node, dict) and step in node) or (
            isinstance(node, list) and isinstance(step, int) and step < len(node)
        )
        if inside:
            node = node[step]
            path.append(step)
    if details["type"] == "missing":
        path.append(details["loc"][-1])
    return tuple(path)
