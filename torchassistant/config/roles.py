"""Every role that an object of a config may play: of the groups, and of keys inside blocks."""

from __future__ import annotations

from collections.abc import Iterator

from torchassistant.config.blocks import Block, blocks_of
from torchassistant.config.groups import GROUPS
from torchassistant.config.role import Role, role_of_key
from torchassistant.config.spec import EvaluationSpec, InferenceSpec, Spec


def _roles_of(block: type[Block]) -> Iterator[Role]:
    for inner in blocks_of(block):
        for field in inner.model_fields.values():
            if (role := role_of_key(field)) is not None:
                yield role


ROLES: dict[str, Role] = {
    **{name: group.role for name, group in GROUPS.items() if group.role is not None},
    **{role.name: role for top in (Spec, EvaluationSpec, InferenceSpec) for role in _roles_of(top)},
}
"""By name."""

ANYTHING = Role("", "argument", functions=True)
"""For what stands where no role is declared."""


def role_named(name: str) -> Role:
    """The role of a name; anything goes where there is none."""
    return ROLES.get(name, ANYTHING)
