"""Columns of dicts, ``NAME/KEY``: which keys there are is known when the dict is."""

from __future__ import annotations

from typing import Any

from torchassistant.config.checks.resolver import Names

KEY = "KEY"
"""Stands for any key of an evaluator, whose name alone is no column."""


def may_be_key(name: Any, known: Names) -> bool:
    """Whether a column may be a value of a loss that gives a dict, or of an evaluator.

    Which keys there are is known when the loss, or the evaluator, is run.
    """
    if not isinstance(name, str):
        return False
    heads = name.split("/")[:-1]
    starts = ["/".join(heads[: i + 1]) for i in range(len(heads))]
    return any(start in known.names or f"{start}/{KEY}" in known.names for start in starts)
