"""Gradient clippers."""

from __future__ import annotations

from torch import nn

from torchassistant.assembly.build_context import BuildContext, Defined
from torchassistant.assembly.groups.assembler import Assembler, no_members
from torchassistant.config import LOSSES, Path, module_named
from torchassistant.training import GradientClipper


def _build(context: BuildContext, one: Defined) -> GradientClipper:
    spec, parts = one.spec, context.parts
    optimizer = parts.optimizers[spec.optimizer] if spec.optimizer else None
    models = [_module(context, name, (*one.path, *path)) for path, name in spec.models]
    return GradientClipper(models, optimizer, spec.clip_value, spec.clip_norm)


def _module(context: BuildContext, name: str, path: Path) -> nn.Module:
    if module_named(name).group == LOSSES:
        return context.trainable(name, path)
    return context.parts.models[name]


GRADIENT_CLIPPERS = Assembler(_build, no_members)
