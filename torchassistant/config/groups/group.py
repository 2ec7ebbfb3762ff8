"""What is known of a group of definitions, in one declaration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from torchassistant.config.blocks import Block
from torchassistant.config.change_rule import Rule
from torchassistant.config.references import Reference
from torchassistant.config.role import Role

Section = Literal["training", "results"]
"""Of ``state.json``: what only training needs, and what takes part in every result."""


def nothing(spec: Any) -> Iterator[Any]:
    """For blocks that name no other definition, or have no stored state."""
    yield from ()


@dataclass(frozen=True, slots=True)
class Group:
    """A group of definitions, as ``optimizers``.

    How a group is built stands here where an object and what it is given are all of it; else in the
    module of its name in ``assembly/groups``, which may import torch.

    Args:
        name: As the config says it.
        noun: What one of them is called in messages.
        block: What a definition says of it: the ``spec``.
        section: The heading in ``docs/config.md`` under which it is documented.
        references: Every name of another definition in a block, with where it stands in there.
        role: What the object that a definition describes has to be; None where it describes none.
        gets: Keys of the block: what they name is what its class gets before its arguments.
        state: The section of a checkpoint for the state of the object; None: it has none.
        held: For a block, the ids whose stored states replace all that the object is built with.
        id_keys: Keys of the block with objects whose ids begin with a word of their own.
        follows_arguments: Whether changed arguments win over what is stored, for what has no
            parameters.
        changes: What becomes of changes in a definition; the first that fits counts.
    """

    name: str
    noun: str
    block: type[Block]
    section: str
    references: Callable[[Any], Iterator[Reference]] = nothing
    role: Role | None = None
    gets: tuple[str, ...] = ()
    state: Section | None = None
    held: Callable[[Any], Iterator[str]] = nothing
    id_keys: tuple[tuple[str, str], ...] = ()
    follows_arguments: bool = False
    changes: tuple[Rule, ...] = ()
