"""What kind of thing a class of the libraries or of our catalogue is, and what it may hold.

Code of the user's own is of no kind: it plays whatever it can play, and takes what it likes.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader, Dataset, Sampler

from torchassistant.assembly.allowlist import LIBRARIES
from torchassistant.assembly.origin import home_of, name_of

ADAPTER = "adapter"
BATCH_PROCESSOR = "batch processor"
COLLATOR = "collator"
DATASET = "dataset"
INPUT_CONVERTER = "input converter"
LOADER = "data loader"
METRIC = "metric"
MODULE = "torch.nn.Module"
OPTIMIZER = "optimizer"
OUTPUT_DEVICE = "output device"
PREPROCESSOR = "preprocessor"
SAMPLER = "sampler"
SCHEDULER = "learning rate scheduler"
STOP_CONDITION = "stop condition"
TRANSFORM = "transform"

_OURS = {
    "torchassistant.adapters": ADAPTER,
    "torchassistant.batch_processors": BATCH_PROCESSOR,
    "torchassistant.collators": COLLATOR,
    "torchassistant.input_converters": INPUT_CONVERTER,
    "torchassistant.losses": MODULE,
    "torchassistant.metrics": METRIC,
    "torchassistant.output_adapters": ADAPTER,
    "torchassistant.output_devices": OUTPUT_DEVICE,
    "torchassistant.preprocessors": PREPROCESSOR,
    "torchassistant.stop_conditions": STOP_CONDITION,
    "torchassistant.tabular": PREPROCESSOR,
    "torchassistant.transforms": TRANSFORM,
}
_BASES: dict[type, str] = {
    Optimizer: OPTIMIZER,
    LRScheduler: SCHEDULER,
    DataLoader: LOADER,
    Sampler: SAMPLER,
    Dataset: DATASET,
    nn.Module: MODULE,
}
_HOLDS = {
    ADAPTER: {ADAPTER, BATCH_PROCESSOR},
    BATCH_PROCESSOR: {ADAPTER, BATCH_PROCESSOR},
    COLLATOR: {COLLATOR},
    # A loader of images, for a dataset over a folder.
    DATASET: {DATASET, INPUT_CONVERTER},
    LOADER: {COLLATOR, DATASET, SAMPLER},
    METRIC: {METRIC},
    MODULE: {METRIC},
    PREPROCESSOR: {PREPROCESSOR},
    SAMPLER: {DATASET, SAMPLER},
    SCHEDULER: {SCHEDULER},
    STOP_CONDITION: {STOP_CONDITION},
}
"""Which kinds may stand in the arguments of which; modules and transforms may in all of them."""

_ANYWHERE = (None, MODULE, TRANSFORM)
_FUNCTIONS = (ADAPTER, BATCH_PROCESSOR, COLLATOR, INPUT_CONVERTER)
"""What ``Compose`` and the like may call one after the other, beside transforms."""

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
    if top not in LIBRARIES:
        return None
    if top == "torchassistant":
        return _OURS.get(home)
    if inspect.isroutine(inmost):
        return None
    made = inmost if inspect.isclass(inmost) else type(inmost)
    kind = next((kind for base, kind in _BASES.items() if issubclass(made, base)), None)
    is_metric = top == "torchmetrics" and not home.startswith("torchmetrics.functional.")
    return METRIC if kind == MODULE and is_metric else kind


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
