"""A definition of the config: a block for each group."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, create_model

from torchassistant.config.blocks import Block, Name
from torchassistant.config.groups import GROUPS
from torchassistant.config.groups.group import Group


class DefinitionBlock(Block):
    """A definition: a name, the group that it is of, and what it is."""

    name: Name
    like: Name | None = Field(
        None, description="Another of the group, whose spec counts where its own says nothing."
    )
    if TYPE_CHECKING:
        group: str
        spec: Any


def _definition(group: Group) -> type[DefinitionBlock]:
    """The block of a definition of a group."""
    words = group.noun.title().replace(" ", "")
    name: Any = Literal[group.name]
    return create_model(
        f"{words}Definition",
        __base__=DefinitionBlock,
        __module__=__name__,
        group=(name, ...),
        spec=(group.block, ...),
    )


DEFINITIONS = {name: _definition(group) for name, group in GROUPS.items()}

if TYPE_CHECKING:
    Definition = DefinitionBlock
else:
    Definition = Annotated[reduce(or_, DEFINITIONS.values()), Field(discriminator="group")]
