"""Gradient clippers."""

from __future__ import annotations

from torchassistant.assembly.build_context import BuildContext, Defined
from torchassistant.assembly.groups.assembler import Assembler, no_members
from torchassistant.config import LOSSES, module_named
from torchassistant.training import GradientClipper


def _build(context: BuildContext, one: Defined) -> GradientClipper:
    spec = one.spec
    if module_named(spec.model).group == LOSSES:
        model = context.trainable(spec.model, one.path)
    else:
        model = context.parts.models[spec.model]
    return GradientClipper(model, spec.clip_value, spec.clip_norm)


GRADIENT_CLIPPERS = Assembler(_build, no_members)
