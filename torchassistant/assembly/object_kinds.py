"""What kind of thing a class of the libraries or of our catalogue is, and what it may hold.

Code of the user's own is of no kind: it plays whatever it can play, and takes what it likes.
"""

from __future__ import annotations

import functools
import inspect
import pkgutil
from typing import Any

from torch.utils.data import DataLoader, Dataset, Sampler

from torchassistant.assembly.allowlist import LIBRARIES, PRESETS
from torchassistant.assembly.origin import home_of, name_of
from torchassistant.assembly.reviewed_callables import verdict_on
from torchassistant.config import (
    ADAPTER,
    BATCH_PROCESSOR,
    COLLATOR,
    DATASET,
    INPUT_CONVERTER,
    METRIC,
    MODULE,
    OUTPUT_DEVICE,
    ROLES,
    TRANSFORM,
)

LOADER = "data loader"
SAMPLER = "sampler"

_OURS = {
    path: role.kind
    for role in ROLES.values()
    for path in (*role.search_paths, *role.modules)
    if path.startswith("torchassistant.")
}
"""The kind of what a module of our catalogue holds."""

_BASES: dict[type, str] = {
    **{pkgutil.resolve_name(role.bases[0]): role.kind for role in ROLES.values() if role.bases},
    DataLoader: LOADER,
    Sampler: SAMPLER,
    Dataset: DATASET,
}
_HOLDS = {
    **{role.kind: role.holds for role in ROLES.values() if role.holds},
    LOADER: (COLLATOR, DATASET, SAMPLER),
    SAMPLER: (DATASET, SAMPLER),
}
"""Which kinds may stand in the arguments of which; modules and transforms may in all of them."""

_ANYWHERE = (None, MODULE, TRANSFORM)
_FUNCTIONS = (ADAPTER, BATCH_PROCESSOR, COLLATOR, INPUT_CONVERTER)
"""What ``Compose`` and the like may call one after the other, beside transforms."""

_PRESETS = {"albumentations": TRANSFORM, "datasets": DATASET, "tokenizers": "part of a tokenizer"}
"""What else the classes are that were reviewed of libraries that have to be trusted."""

_OVER_DATASETS = (
    "torch.utils.data.dataset.random_split",
    "torchvision.tv_tensors._dataset_wrapper.wrap_dataset_for_transforms_v2",
)
"""Functions that take datasets."""


def called_by(target: Any) -> Any:
    """What is called in the end: of ``functools.partial`` and the like, the function."""
    while not (inspect.isclass(target) or inspect.isroutine(target)):
        is_partial = isinstance(target, functools.partial)
        inner = target.func if is_partial else inspect.getattr_static(target, "__wrapped__", None)
        if inner is None:
            break
        target = inner
    return target


def kind_of(target: Any) -> str | None:
    """The kind of what a class or function makes, or of an instance; None: it is of no kind."""
    inmost = called_by(target)
    home = home_of(inmost)
    top = home.partition(".")[0]
    if top not in LIBRARIES and not _is_in_preset(inmost):
        return None
    if top == "torchassistant":
        return _OURS.get(home)
    if inspect.isroutine(inmost):
        return None
    made = inmost if inspect.isclass(inmost) else type(inmost)
    kind = next(
        (kind for base, kind in _BASES.items() if issubclass(made, base)), _PRESETS.get(top)
    )
    is_metric = top == "torchmetrics" and not home.startswith("torchmetrics.functional.")
    return METRIC if kind == MODULE and is_metric else kind


def _is_in_preset(found: Any) -> bool:
    """Whether this is among what was reviewed of a library that has to be trusted."""
    top = home_of(found).partition(".")[0]
    return top in PRESETS and verdict_on(found).kind != "new"


def is_of_libraries(target: Any) -> bool:
    """Whether what is called in the end is of the libraries, or ours, and not the user's own."""
    return home_of(called_by(target)).partition(".")[0] in LIBRARIES


def may_hold(holder: Any, kind: str | None, role: str) -> bool:
    """Whether something of a kind may stand in the arguments of what is called.

    Args:
        holder: What is called; a ``DataLoader`` for the arguments of a loader factory.
        kind: Of the argument.
        role: What the outermost object is there for.
    """
    if not is_of_libraries(holder):
        # A device of the user's own may hand on to others, and nothing else writes.
        return kind != OUTPUT_DEVICE or role == "output_device"
    name = name_of(called_by(holder))
    if name.startswith("torchvision.transforms."):
        return kind in (*_ANYWHERE, *_FUNCTIONS)
    holds = DATASET if name in _OVER_DATASETS else kind_of(holder)
    return kind in _ANYWHERE or kind in _HOLDS.get(holds or "", ())
