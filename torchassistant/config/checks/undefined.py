"""Names of definitions that nothing defines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from functools import partial

from torchassistant.config.checks.resolver import Names, Use
from torchassistant.config.checks.scope import DEFINITIONS, Scope
from torchassistant.config.checks.unknown import Unknown
from torchassistant.config.dependencies import (
    references,
    references_of_evaluator,
    references_of_pipeline,
)
from torchassistant.config.groups import GROUPS
from torchassistant.config.references import DATASET_OR_SLICE, SLICES, Key, Slice, as_slice
from torchassistant.errors import listing


def check_names(scope: Scope, used: Collection[str] | None) -> None:
    """Report every name, in definitions and in pipelines, that no definition has."""
    uses: dict[str, list[Use]] = {}
    for group, use in _uses(scope, used):
        if scope.diagnostics.is_written(use.path):
            uses.setdefault(group, []).append(use)
    for group, found in uses.items():
        found = _grouped(scope, found)
        known = _names(scope, group)
        if group == DATASET_OR_SLICE:
            found = _without_slices(scope, found)
            known = _without_unreadable_splits(scope, known, found)
        sentence = partial(_sentence, scope, group)
        is_shared = group != DATASET_OR_SLICE and GROUPS[group].is_shared
        scope.resolver.resolve(known, found, sentence, is_shared=is_shared)


def _uses(scope: Scope, used: Collection[str] | None) -> Iterator[tuple[str, Use]]:
    for index, definition in enumerate(scope.spec.initialize.definitions):
        for reference in references(definition):
            path = (*DEFINITIONS, index, *reference.path)
            yield reference.group, Use(reference.name, path)
    for _, pipeline in scope.pipelines(used):
        for reference in references_of_pipeline(pipeline.block, scope.scored):
            yield reference.group, Use(reference.name, pipeline.at(*reference.path))
    for stage in scope.config.train.stages if used is None else ():
        for entry in stage.evaluators:
            for reference in references_of_evaluator(entry.block):
                yield reference.group, Use(reference.name, entry.at(*reference.path))


def _sentence(scope: Scope, group: str, name: str, hint: str) -> str:
    what = "dataset or slice" if group == DATASET_OR_SLICE else GROUPS[group].noun
    others = [f'"{other}"' for other in GROUPS if Key(other, name) in scope.definitions]
    if others:
        hint = f"; it is defined in the group {' and in '.join(others)}"
    return f'no {what} is named "{name}"{hint}'


def _grouped(scope: Scope, uses: list[Use]) -> list[Use]:
    """Without the uses of definitions that are there, and of which the group cannot be read."""
    names = scope.groupless
    if not names:
        return uses
    split_of = {use.name: piece.split for use in uses if (piece := as_slice(use.name))}
    return [use for use in uses if not {use.name, split_of.get(use.name)} & names]


# Slices


def _names(scope: Scope, group: str) -> Names:
    if group != DATASET_OR_SLICE:
        return scope.names(group)
    datasets, splits = scope.names("datasets"), scope.names("splits")
    # What may be of any group is one thing, and not a dataset and a split.
    both = datasets | splits._replace(unreadable=0)
    return both._replace(names={**dict.fromkeys(datasets.names), **dict.fromkeys(_slices(scope))})


def _slices(scope: Scope) -> Iterator[str]:
    """The names of the slices of all splits."""
    for name, split in scope.groups["splits"].items():
        for index in range(split.block.spec.count):
            yield _slice_name(name, index)


def _slice_name(split: str, index: int) -> str:
    words = list(SLICES)
    return f"{split}.{words[index]}" if index < len(words) else f"{split}[{index}]"


def _without_slices(scope: Scope, uses: list[Use]) -> list[Use]:
    """Without the slices of splits that are there; it is reported where a split has fewer."""
    left = []
    for use in uses:
        piece = as_slice(use.name)
        is_known = piece is not None and piece.split in scope.groups["splits"]
        if piece is None or not is_known or use.name in scope.groups["datasets"]:
            left.append(use)
        else:
            _slice_of(scope, use, piece)
    return left


def _slice_of(scope: Scope, use: Use, piece: Slice) -> None:
    spec = scope.groups["splits"][piece.split].spec
    count = spec.count
    if isinstance(spec.ratio, Unknown) or piece.position < count:
        return
    there = [_slice_name(piece.split, index) for index in range(min(count, 12))]
    more = ", …" if count > len(there) else ""
    message = f'the split "{piece.split}" has {count} slices: {listing(there)}{more}'
    scope.diagnostics.broke(f"{message}; found {use.name!r}", use.path)


def _without_unreadable_splits(scope: Scope, known: Names, uses: list[Use]) -> Names:
    """Nothing is said of slices of splits whose own name cannot be read."""
    splits = scope.names("splits")
    missing = min(splits.unreadable + len(splits.unsure), len(uses))
    split_of = {use.path: piece.split for use in uses if (piece := as_slice(use.name))}
    for use in uses:
        if use.name in known.names:
            split_of.pop(use.path, None)
    heads = [head for head, _ in Counter(split_of.values()).most_common(int(missing))]
    scope.resolver.excuse(path for path, split in split_of.items() if split in heads)
    left = dict.fromkeys(name for name in known.unsure if name not in splits.unsure)
    return known._replace(unsure=left)
