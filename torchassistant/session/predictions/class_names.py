"""What classes are called, where datasets say it as torchvision's do: by ``classes``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def class_names(datasets: Mapping[str, Any]) -> dict[str, list[str]]:
    """The names of classes, by dataset; nothing of one that has none."""
    found = {}
    for name, dataset in datasets.items():
        classes = getattr(dataset, "classes", None)
        if isinstance(classes, list | tuple) and all(isinstance(c, str) for c in classes):
            found[name] = list(classes)
    return found
