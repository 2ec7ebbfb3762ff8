"""Objects that are called at the places of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torchassistant.config.blocks import ObjectSpec
from torchassistant.config.change_rule import Condition, Rule
from torchassistant.config.groups.group import Group
from torchassistant.config.role import CALLABLE, CALLBACK, Role


class CallbackSpec(ObjectSpec):
    """A callback: a subclass of `torchassistant.callbacks.Callback`; or anything that is called
    as `function(session, epoch)`, which a stage names in `run_before_epoch`.
    """


_LOGGERS = ("TensorBoard", "MLflow", "Trackio")
_MODULES = ("", "torchassistant.callbacks.", "torchassistant.callbacks.loggers.")
_LOGGER_PATHS = {f"{module}{name}" for module in _MODULES for name in _LOGGERS}


def _is_logger(block: Any) -> bool:
    """Whether a definition is one of our loggers, of which none changes what is trained."""
    return isinstance(block, CallbackSpec) and block.class_ in _LOGGER_PATHS


def _without_loggers(listed: Mapping[str, Any]) -> list[str]:
    return [name for name, block in listed.items() if not _is_logger(block)]


OF_LOGGER = Condition("of a logger", lambda changed: all(map(_is_logger, changed)))
IN_LOGGERS_ALONE = Condition(
    "which differ in loggers alone",
    lambda changed: _without_loggers(changed[0]) == _without_loggers(changed[1]),
)
"""Given two lists of callbacks: the block of each by its name."""

LOGGERS_ARE_FREE = "a logger does not affect the training"

CALLBACKS = Group(
    "callbacks",
    "callback",
    CallbackSpec,
    section="callbacks",
    is_shared=True,
    may_be_unused=True,
    role=Role(
        "callbacks",
        "callback (it is no torchassistant.callbacks.Callback, and cannot be called)",
        ("torchassistant.callbacks",),
        bases=("torchassistant.callbacks.Callback",),
        methods=CALLABLE,
        or_itself=True,
        kind=CALLBACK,
        code=("applied", "called from the next event on"),
    ),
    state="training",
    changes=(
        Rule("spec.**", "free", LOGGERS_ARE_FREE, OF_LOGGER),
        Rule("spec.**", "applied", "called from the next event on"),
    ),
)
