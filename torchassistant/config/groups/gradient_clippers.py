"""Limits of gradients."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveFloat

from torchassistant.config.blocks import Block, Name
from torchassistant.config.change_rule import Rule
from torchassistant.config.groups.group import Group
from torchassistant.config.references import Reference, module_named


class GradientClipperSpec(Block):
    """Limits the gradients of a model, by value first and then by norm."""

    model: Name = Field(description="The model whose gradients are limited.")
    clip_value: PositiveFloat | None = Field(
        None, description="Largest absolute value of one element."
    )
    clip_norm: PositiveFloat | None = Field(None, description="Largest L2 norm of all gradients.")


def _references(spec: GradientClipperSpec) -> Iterator[Reference]:
    yield Reference(("model",), *module_named(spec.model))


GRADIENT_CLIPPERS = Group(
    "gradient_clippers",
    "gradient clipper",
    GradientClipperSpec,
    section="gradient_clippers",
    references=_references,
    changes=(
        Rule("spec.clip_value", "applied", "from now on"),
        Rule("spec.clip_norm", "applied", "from now on"),
    ),
)
