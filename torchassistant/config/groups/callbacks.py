"""Objects that are called at the places of a run."""

from __future__ import annotations

from torchassistant.config.blocks import ObjectSpec
from torchassistant.config.change_rule import Rule
from torchassistant.config.groups.group import Group
from torchassistant.config.role import CALLBACK, Role


class CallbackSpec(ObjectSpec):
    """A callback: a subclass of `torchassistant.callbacks.Callback`."""


CALLBACKS = Group(
    "callbacks",
    "callback",
    CallbackSpec,
    section="callbacks",
    is_shared=True,
    may_be_unused=True,
    role=Role(
        "callbacks",
        "callback (it is no torchassistant.callbacks.Callback)",
        ("torchassistant.callbacks",),
        bases=("torchassistant.callbacks.Callback",),
        kind=CALLBACK,
        code=("applied", "called from the next event on"),
    ),
    state="training",
    changes=(Rule("spec.**", "applied", "called from the next event on"),),
)
