"""Which group a definition is of that says none: by what names it, and by what it looks like."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torchassistant.config.block_fields import fields_of_spec, missing_keys
from torchassistant.config.defaults import pipelines_of
from torchassistant.config.dependencies import (
    references,
    references_of_evaluator,
    references_of_pipeline,
)
from torchassistant.config.groups import GROUPS
from torchassistant.config.references import DATASET_OR_SLICE, Key, as_slice, target
from torchassistant.config.spec import DEFINITIONS, Spec
from torchassistant.errors import nearest


def undefined_uses(spec: Spec) -> Iterator[Key]:
    """What is named, and is not there."""
    initialize = spec.initialize
    found = [one for definition in initialize.definitions for one in references(definition)]
    for pipeline in pipelines_of(spec):
        found += references_of_pipeline(pipeline)
    for stage in spec.train.stages:
        found += (one for entry in stage.evaluators for one in references_of_evaluator(entry))
    defined = {Key(d.group, d.name): d for d in initialize.definitions}
    for reference in found:
        if target(reference, defined) is not None:
            continue
        piece = as_slice(reference.name) if reference.group == DATASET_OR_SLICE else None
        group = "datasets" if reference.group == DATASET_OR_SLICE else reference.group
        yield Key("splits", piece.split) if piece else Key(group, reference.name)


def group_by_use(name: str, spec: Any, uses: Sequence[Key]) -> str | None:
    """The group of which others name a definition of this name, that is not there else.

    Args:
        name: The name of the definition.
        spec: Its spec.
        uses: What is named, and is not there.
    """
    groups = {use.group for use in uses if use.name == name}
    groups = groups or {use.group for use in uses if nearest(use.name, [name])}
    likely = [group for group in groups if _is_like(group, spec)]
    return likely[0] if len(likely) == 1 else None


def _is_like(group: str, spec: Any) -> bool:
    """Whether more keys of a spec are known to a group than are not."""
    if not isinstance(spec, dict):
        return True
    fields = fields_of_spec(DEFINITIONS[group])
    known = sum(1 for key in spec if nearest(str(key), fields))
    return 2 * known > len(spec) or not spec


def group_by_looks(spec: Any) -> str | None:
    """The group that a spec is of; where several fit best, one that nothing need name."""
    if not isinstance(spec, dict) or not spec:
        return None
    scores: dict[int, list[str]] = {}
    for group, definition in DEFINITIONS.items():
        fields = fields_of_spec(definition)
        meant = {key: key if key in fields else nearest(str(key), fields) for key in spec}
        if None not in meant.values() and not missing_keys(fields, dict.fromkeys(meant.values())):
            score = sum(1 if key == near else -1 for key, near in meant.items())
            scores.setdefault(score, []).append(group)
    best = scores[max(scores)] if scores else []
    return best[0] if len(best) == 1 else next((g for g in best if GROUPS[g].may_be_unused), None)
