"""How examples become a batch."""

from __future__ import annotations

from torchassistant.config.blocks import ObjectSpec
from torchassistant.config.groups.group import Group
from torchassistant.config.role import CALLABLE, COLLATOR, MODULE, Role


class CollatorSpec(ObjectSpec):
    """A callable: list of examples in, columns of a batch out."""


COLLATORS = Group(
    "collators",
    "collator",
    CollatorSpec,
    section="collators",
    is_shared=True,
    may_be_unused=True,
    role=Role(
        "collators",
        "collator (it cannot be called)",
        ("torchassistant.collators",),
        methods=CALLABLE,
        kind=COLLATOR,
        other_kinds=(MODULE,),
        holds=(COLLATOR,),
        or_itself=True,
    ),
    state="training",
)
