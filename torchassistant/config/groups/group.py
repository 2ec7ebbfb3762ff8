"""What is known of a group of definitions, in one declaration."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from torchassistant.config.blocks import Block
from torchassistant.config.change_rule import Rule
from torchassistant.config.references import Reference
from torchassistant.config.role import Role

Section = Literal["training", "results"]
"""Of ``state.json``: what only training needs, and what takes part in every result."""


def nothing(spec: Any) -> tuple[Any, ...]:
    """Of a block that names no other definition, or of which nothing is stored whole."""
    return ()


def all_of_it(spec: Any) -> tuple[str, ...]:
    """What is stored under the id of the definition itself is all of its state."""
    return ("",)


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
        later: Keys of the block: what they name may be built after it, and may need it.
        is_shared: Whether one of them is named in several places as a rule, so that a misspelt name
            may mean one that is used elsewhere too.
        may_be_unused: Whether a definition that nothing names may be one of them.
        role: What the object that a definition describes has to be; None where it describes none.
        gets: Keys of the block: what they name is what its class gets before its arguments.
        state: The section of a checkpoint for the states of its objects; None: they have none, or
            have it in files of their own.
        held: For a block, where below the id of its definition the states are stored that replace
            all that the object is built with: weights that they replace need not be read then.
        id_keys: Keys of the block with objects whose ids begin with a word of their own.
        follows_arguments: Whether changed arguments win over what is stored, for what has no
            parameters.
        changes: What becomes of changes in a definition; the first that fits counts.
    """

    name: str
    noun: str
    block: type[Block]
    section: str
    references: Callable[[Any], Iterable[Reference]] = nothing
    later: tuple[str, ...] = ()
    is_shared: bool = False
    may_be_unused: bool = False
    role: Role | None = None
    gets: tuple[str, ...] = ()
    state: Section | None = None
    held: Callable[[Any], tuple[str, ...]] = nothing
    id_keys: tuple[tuple[str, str], ...] = ()
    follows_arguments: bool = False
    changes: tuple[Rule, ...] = ()
