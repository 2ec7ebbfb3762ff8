"""Whether what a config leaves out altogether can be filled in from its data."""

from __future__ import annotations

from torchassistant.config.dependencies import references
from torchassistant.config.diagnostics import Diagnostics
from torchassistant.config.groups import GROUPS
from torchassistant.config.groups.models import own_models
from torchassistant.config.references import as_slice
from torchassistant.config.spec import Spec
from torchassistant.config.tree import Path
from torchassistant.errors import listing

TRAINING, VALIDATION = "training", "validation"
"""The names of the pipelines that are filled in."""

_PIPELINES: Path = ("initialize", "pipelines")


def has_missing_parts(spec: Spec) -> bool:
    """Whether the pipelines have to be filled in, with what they need."""
    return not spec.initialize.pipelines


def check_missing_parts(spec: Spec, diagnostics: Diagnostics) -> None:
    """Note where a config without pipelines leaves a choice, and between what."""
    if not diagnostics.is_whole(("initialize", "definitions"), _PIPELINES):
        return
    given = [*spec.group("batch_processors"), *spec.group("batch_graphs")]
    # The nodes of a processor say which model is which, and what trains it.
    chosen = ("models", "optimizers") if given else ()
    for group in (
        *("models", "optimizers", "losses"),
        *("collators", "batch_processors", "batch_graphs"),
    ):
        names = list(spec.group(group))
        if group == "models":
            names = own_models(spec.group(group))
        if len(names) > 1 and group not in chosen:
            _note(diagnostics, f"there are several {group.replace('_', ' ')}: {listing(names)}")
        if not names and group in ("models", "optimizers"):
            _note(diagnostics, f"there is no {GROUPS[group].noun}")
    if not spec.group("loader_factories"):
        sources = data_sources(spec)
        if sources is None:
            names = list(spec.group("datasets"))
            found = f"the datasets are {listing(names)}" if names else "there is no dataset"
            _note(
                diagnostics, f"{found}; fitting are one, or one to train and one to validate with"
            )
    elif len(spec.group("loader_factories")) > 2:
        names = list(spec.group("loader_factories"))
        _note(diagnostics, f"there are several loader factories: {listing(names)}")


def _note(diagnostics: Diagnostics, reason: str) -> None:
    message = f'the key "pipelines" is missing, and cannot be filled in: {reason}'
    diagnostics.note(message, _PIPELINES)


def data_sources(spec: Spec) -> tuple[str, str | None] | None:
    """Datasets, or slices, to train and to validate with; None where that is not clear.

    Those count that no other definition of data names. One dataset that is not split yet stands
    for both: ``(name, None)``.
    """
    named = {
        reference.name
        for definition in spec.initialize.definitions
        if definition.group in ("datasets", "splits")
        for reference in references(definition)
    }
    split = {piece.split for name in named if (piece := as_slice(name))}
    free = [name for name in spec.group("datasets") if name not in named]
    for name, parts in spec.group("splits").items():
        if name not in split:
            free += [f"{name}.train", f"{name}.val"][: parts.count]
    if len(free) == 1:
        return free[0], None
    if len(free) == 2:
        first, second = free
        swapped = "train" in second.lower() and "train" not in first.lower()
        return (second, first) if swapped else (first, second)
    training = [name for name in free if "train" in name.lower()]
    validation = [name for name in free if "val" in name.lower()]
    if len(training) == len(validation) == 1:
        return training[0], validation[0]
    return None
