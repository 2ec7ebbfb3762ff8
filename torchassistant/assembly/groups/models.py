"""Models, each on its device."""

from __future__ import annotations

from torch import nn

from torchassistant.assembly.build_context import BuildContext, Defined
from torchassistant.assembly.compute_options import MEMORY_FORMATS
from torchassistant.assembly.groups.assembler import Assembler, itself


def _build(context: BuildContext, one: Defined) -> nn.Module:
    model = context.object_of(one)
    if not isinstance(model, nn.Module):
        message = f"{one.what} must be a torch.nn.Module; found {type(model).__name__}"
        raise context.maker.problem(message, one.path)
    model = model.to(context.devices.models.get(one.name, context.devices.base))
    if one.spec.memory_format:
        model = model.to(memory_format=MEMORY_FORMATS[one.spec.memory_format])
    return model


MODELS = Assembler(_build, itself("models", stored=False))
