"""Hooks of torch on a model."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from torchassistant.config.blocks import Block, Name
from torchassistant.config.groups.group import Group
from torchassistant.config.references import Reference, module_named
from torchassistant.config.role import CALLABLE, Role


class HookSpec(Block):
    """Hooks on a model's parameters (backward) or modules (forward)."""

    model: Name = Field(description="The model that is watched.")
    factory_fn: Name = Field(
        description="Function from a parameter's (a module's) name to the hook."
    )


def _references(spec: HookSpec) -> Iterator[Reference]:
    yield Reference(("model",), *module_named(spec.model))


def _hooks(name: str, noun: str, may_be_unused: bool) -> Group:
    return Group(
        name,
        noun,
        HookSpec,
        section="hooks",
        references=_references,
        may_be_unused=may_be_unused,
        role=Role(name, "hook (it cannot be called)", methods=CALLABLE, given=("a name",)),
    )


BACKWARD_HOOKS = _hooks("backward_hooks", "backward hook", may_be_unused=False)
FORWARD_HOOKS = _hooks("forward_hooks", "forward hook", may_be_unused=True)
