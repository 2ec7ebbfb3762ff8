"""Where a short name is looked for, by what the object is there for."""

from __future__ import annotations

from torchassistant.config.source_inspection import classes_of, find_source
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


def is_one_thing(one: str, other: str) -> bool:
    """Whether two names, dotted paths or short names, are of one class or function.

    Where the source of one of them cannot be read, they are one thing if they are written alike.
    """
    return one == other or bool(_full_names(one) & _full_names(other))


def _full_names(name: str) -> set[str]:
    """The names by which what a name may mean is defined."""
    homes = {home.removesuffix(".*") for homes in HOMES.values() for home in homes}
    paths = [name] if "." in name else [f"{home}.{name}" for home in homes]
    return {found.full_name for path in paths if (found := find_source(path)) is not None}
