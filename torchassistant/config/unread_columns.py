"""Columns of batches that no frame gets: those named ``_``, where nothing reads one."""

from __future__ import annotations

from typing import Any

from torchassistant.config.defaults import pipelines_of
from torchassistant.config.spec import Spec
from torchassistant.config.tree import walk

DROPPED = "_"


def unread_columns(spec: Spec) -> frozenset[str]:
    """The names under which columns of loaders, and of other pipelines, are dropped: ``_`` or none.

    A node, a loss, an adapter or anything else that names it reads it.
    """
    factories = [item for pipeline in pipelines_of(spec) for item in pipeline.input_factories]
    if not any(DROPPED in (item.columns or item.renames.values()) for item in factories):
        return frozenset()
    readers: list[Any] = [definition.model_dump() for definition in spec.initialize.definitions]
    readers += [getattr(pipeline, "output_keys", []) for pipeline in pipelines_of(spec)]
    readers += [list(item.renames) for item in factories]
    is_read = any(value == DROPPED or path[-1:] == (DROPPED,) for path, value in walk(readers))
    return frozenset() if is_read else frozenset({DROPPED})
