"""Patterns over the parameters and submodules of models, as a config writes them.

A text is a path within a model, as ``layer1.0`` or ``layer4.*``, a model's name and a path, as
``net:layer1.*``, or a model's name alone, which means all of it. Paths are globs as in
:mod:`fnmatch`: ``*`` crosses dots.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from pydantic import Field

from torchassistant.config.blocks import Block, NameOrNames, Names
from torchassistant.config.tree import Path

EVERYTHING = "*"
TAP = r"^([^:@]+:)?[^:@]+(@input)?$"
"""What a tap names: a module of a model, or its input."""


class Glob(NamedTuple):
    """One text of a pattern.

    Args:
        model: The model whose paths are meant; None means those of every model at hand.
        path: A glob over paths within it.
    """

    model: str | None
    path: str


class PatternSpec(Block):
    """What a pattern fits: names, types of modules, or what fits both."""

    match: NameOrNames | None = Field(
        None,
        description="Paths within the model as `layer4.*` or `*.bias`; see [patterns](#patterns).",
    )
    types: Names | None = Field(
        None,
        description="Classes of modules, as `BatchNorm2d` (of `torch.nn`) or a dotted path; "
        "subclasses count too.",
    )

    @property
    def globs(self) -> list[tuple[Path, str]]:
        """The texts of ``match``, each with where it stands in here."""
        if isinstance(self.match, list):
            return [(("match", index), text) for index, text in enumerate(self.match)]
        return [] if self.match is None else [(("match",), self.match)]


def glob_of(text: str, models: Collection[str]) -> Glob:
    """What a text means among some models.

    >>> glob_of("net:layer1.*", ["net", "head"])
    Glob(model='net', path='layer1.*')
    >>> glob_of("net", ["net", "head"])
    Glob(model='net', path='*')
    >>> glob_of("*.bias", ["net", "head"])
    Glob(model=None, path='*.bias')
    """
    model, colon, path = text.partition(":")
    if colon:
        return Glob(model, path)
    return Glob(text, EVERYTHING) if text in models else Glob(None, text)
