"""TorchAssistant: a training run described as data.

Its functions, and the events that steps are called with, are imported when they are first used, so
that importing a catalogue class does not load the whole engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["EvalStepEvent", "TrainStepEvent", "__version__", "create_session", "load_session"]


def __getattr__(name: str) -> Any:
    if name in ("create_session", "load_session"):
        return getattr(import_module("torchassistant.session"), name)
    if name in ("EvalStepEvent", "TrainStepEvent"):
        return getattr(import_module("torchassistant.training"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
