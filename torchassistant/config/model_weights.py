"""Weights that a model begins with, as a config names them: where from, and under which names."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar

from pydantic import Field, Tag

from torchassistant.config.blocks import ONE_OR_SEVERAL, Block, Name, Names
from torchassistant.config.role import Role

SESSION = "session:"
"""What a source begins with that is a session folder."""

WEIGHTS_OF_MODEL = Role(
    "weights", "function that gives weights", code=("free", "what it gave is stored")
)

_PAIR = Annotated[list[str], Field(min_length=2, max_length=2)]


class ModelWeightsSpec(Block):
    """Where weights come from, what they are called in the model, and which of them are taken."""

    class_: ClassVar[None] = None

    from_: Name | None = Field(
        None,
        alias="from",
        description="A `.safetensors` file, a folder as `transformers` writes it, `session:PATH`, "
        "or a URL with the file's checksum in its name.",
    )
    model: Name | None = Field(
        None,
        description="Which model of that session, or of a file of `export`. Left out: the one of "
        "the same name, or the only one.",
    )
    checkpoint: Name | None = Field(
        None,
        description="With `session:`: `last`, `best`, `best-MONITOR` or a step. Left out: `last`.",
    )
    factory_fn: Name | None = Field(
        None,
        description="Dotted path of a function that gives a `state_dict`; its first argument is "
        "the session.",
    )
    args: list[Any] = Field([], description="Its positional arguments after that.")
    kwargs: dict[str, Any] = Field({}, description="Its keyword arguments.")
    rename: list[_PAIR] = Field(
        [],
        description="Pairs of a regular expression and what replaces it in each name, as "
        "`re.sub` does, one after another.",
    )
    into: Name | None = Field(
        None, description="Path in the model that all names are put below, as `backbone`."
    )
    include: Names | None = Field(
        None, description="Globs over names in the model: what none matches is left out."
    )
    exclude: Names | None = Field(
        None, description="Globs over names in the model: what one matches is left out."
    )
    strict: bool = Field(
        True,
        description="Whether what does not fit is a problem: names that the model does not have, "
        "names that are missing, other shapes. Else it is left out.",
    )

    @property
    def session(self) -> str | None:
        """The path of the session that it is from; None for other sources."""
        is_session = self.from_ is not None and self.from_.startswith(SESSION)
        return self.from_.removeprefix(SESSION) if is_session and self.from_ else None

    @property
    def is_url(self) -> bool:
        """Whether it is downloaded."""
        return self.from_ is not None and self.session is None and "://" in self.from_

    @property
    def shown(self) -> str:
        """The source in messages."""
        return self.from_ or self.factory_fn or ""


ModelWeights = Annotated[
    Annotated[ModelWeightsSpec, Tag("one")]
    | Annotated[list[ModelWeightsSpec], Field(min_length=1), Tag("several")],
    ONE_OR_SEVERAL,
]
"""One source, or several, of which later ones win."""


def misfit_of_rename(pattern: str, replacement: str) -> str | None:
    """Why a pair cannot rename anything; None where it can.

    >>> misfit_of_rename("^module\\\\.", "")
    >>> misfit_of_rename("(", "")
    '"(" is not a regular expression (missing ), unterminated subpattern at position 0)'
    """
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return f'"{pattern}" is not a regular expression ({error})'
    try:
        # What is matched here is empty, so that the replacement alone is looked at.
        re.compile(f"{pattern}|").sub(replacement, "")
    except (re.error, IndexError) as error:
        return f'"{replacement}" cannot replace "{pattern}" ({error})'
    return None
