"""Limits of gradients."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveFloat

from torchassistant.config.blocks import Block, Name, NameOrNames
from torchassistant.config.change_rule import Rule
from torchassistant.config.groups.group import Group
from torchassistant.config.references import Reference, module_named
from torchassistant.config.tree import Path


class GradientClipperSpec(Block):
    """Limits the gradients of models, or of an optimizer, by value first and then by norm."""

    model: NameOrNames | None = Field(
        None, description="The model whose gradients are limited; several have one norm."
    )
    optimizer: Name | None = Field(
        None, description="In place of `model`: the optimizer whose parameters' gradients are."
    )
    clip_value: PositiveFloat | None = Field(
        None, description="Largest absolute value of one element."
    )
    clip_norm: PositiveFloat | None = Field(None, description="Largest L2 norm of all gradients.")

    @property
    def models(self) -> list[tuple[Path, str]]:
        """The names of the models, each with where it stands in here."""
        if isinstance(self.model, list):
            return [(("model", index), name) for index, name in enumerate(self.model)]
        return [] if self.model is None else [(("model",), self.model)]


def _references(spec: GradientClipperSpec) -> Iterator[Reference]:
    for path, name in spec.models:
        yield Reference(path, *module_named(name))
    if spec.optimizer:
        yield Reference(("optimizer",), "optimizers", spec.optimizer)


GRADIENT_CLIPPERS = Group(
    "gradient_clippers",
    "gradient clipper",
    GradientClipperSpec,
    section="gradient_clippers",
    references=_references,
    changes=(
        Rule("spec.clip_value", "applied", "from now on"),
        Rule("spec.clip_norm", "applied", "from now on"),
        Rule("spec.model.**", "applied", "from now on"),
        Rule("spec.optimizer", "applied", "from now on"),
    ),
)
