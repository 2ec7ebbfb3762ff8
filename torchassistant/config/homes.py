"""Where a short name is looked for, by what the object is there for."""

from __future__ import annotations

from torchassistant.config.static import classes_of
from torchassistant.errors import nearest

TORCHMETRICS = "torchmetrics.*"

HOMES: dict[str, tuple[str, ...]] = {
    "optimizers": ("torch.optim",),
    "lr_scheduler": ("torch.optim.lr_scheduler",),
    "losses": ("torch.nn", "torchassistant.losses"),
    "metrics": ("torchassistant.metrics", TORCHMETRICS),
    "collators": ("torchassistant.collators",),
    "preprocessors": ("torchassistant.preprocessors",),
    "input_adapter": ("torchassistant.adapters",),
    "output_adapter": ("torchassistant.output_adapters",),
    "batch_processors": ("torchassistant.batch_processors",),
    "transform": ("torchassistant.transforms",),
    "stop_condition": ("torchassistant.stop_conditions",),
    "output_device": ("torchassistant.output_devices",),
    "input_converter": ("torchassistant.input_converters",),
}


def our_class(name: str, role: str) -> str:
    """The short name of the class of ours that a config means by a name; empty where it is none.

    Args:
        name: A dotted path or short name, right or misspelt.
        role: What the object is there for; its short names have one home, which is ours.
    """
    (home,) = HOMES[role]
    above, _, short = name.rpartition(".")
    if above not in ("", home):
        return ""
    known = classes_of(home)
    return short if short in known or not known else nearest(short, known) or ""
