"""TorchAssistant: a training run described as data.

The two functions of the package are imported when they are first used, so that importing a
catalogue class does not load the whole engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "create_session", "load_session"]


def __getattr__(name: str) -> Any:
    if name in ("create_session", "load_session"):
        return getattr(import_module("torchassistant.session"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
