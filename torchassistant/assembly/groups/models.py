"""Models, each on its device; parts of models, and averages of them."""

from __future__ import annotations

import copy

from torch import nn
from torch.nn.parameter import is_lazy

from torchassistant.assembly.build_context import BuildContext, Defined
from torchassistant.assembly.compute_options import MEMORY_FORMATS
from torchassistant.assembly.groups.assembler import Assembler, itself
from torchassistant.assembly.model_weights import take_weights
from torchassistant.config import DECAY, ModelSpec, as_data
from torchassistant.errors import near
from torchassistant.rebuilding import Misfit, rebuilt
from torchassistant.training import Average, Averaging


def _build(context: BuildContext, one: Defined) -> nn.Module:
    if one.spec.part_of:
        return _part(context, one)
    model = _average(context, one) if one.spec.average_of else _whole(context, one)
    if one.spec.sources and not context.parts.restoring:
        take_weights(context, one, model)
    return model


def _whole(context: BuildContext, one: Defined) -> nn.Module:
    """The object that the config describes, where it belongs."""
    model = context.object_of(one)
    if not isinstance(model, nn.Module):
        message = f"{one.what} must be a torch.nn.Module; found {type(model).__name__}"
        raise context.maker.problem(message, one.path)
    model = _compressed(context, one, model)
    if not context.lacks_parameters:
        model = model.to(context.devices.models.get(one.name, context.devices.base))
    if one.spec.memory_format:
        model = model.to(memory_format=MEMORY_FORMATS[one.spec.memory_format])
    return model


def _compressed(context: BuildContext, one: Defined, model: nn.Module) -> nn.Module:
    """A model with the structure that compression gave it; its weights are loaded afterwards."""
    for index, step in enumerate(one.spec.compressed or ()):
        try:
            model = rebuilt(model, [as_data(step)])
        except Misfit as error:
            path = (*one.path, "compressed", index)
            raise context.maker.problem(f"{one.what}: {error}", path) from None
    return model


def _part(context: BuildContext, one: Defined) -> nn.Module:
    """A module of a model, as the model has it."""
    whole, path = context.parts.models[one.spec.part_of], one.spec.path_
    modules = dict(whole.named_modules(remove_duplicate=False))
    if path not in modules:
        hint = near(path, [name for name in modules if name])
        message = f'the model "{one.spec.part_of}" has no part "{path}"{hint}'
        raise context.maker.problem(message, (*one.path, "path"))
    context.parts.parts_of_models.add(one.name)
    return modules[path]


def _average(context: BuildContext, one: Defined) -> nn.Module:
    """A copy of a model, which is kept up to date as the model is trained."""
    name, path = one.spec.average_of, (*one.path, "average_of")
    model = context.parts.models[name]
    if any(map(is_lazy, model.parameters())):
        message = f'the model "{name}" has layers whose sizes are not known before it is run'
        raise context.maker.problem(f"{message}, so that it cannot be averaged", path)
    try:
        average = copy.deepcopy(model)
    except Exception as error:
        message = f'the model "{name}" cannot be copied ({error}), so that it cannot be averaged'
        raise context.maker.problem(message, path) from None
    average.requires_grad_(False)
    context.parts.averages[one.name] = Average(one.name, average, model, _averaging(one.spec))
    return average


def _averaging(spec: ModelSpec) -> Averaging:
    return Averaging(
        kind=spec.kind or "ema",
        decay=DECAY if spec.decay is None else spec.decay,
        interval=spec.interval or "step",
        every=spec.every or 1,
        start=spec.start or 0,
        blends_first=spec.first == "blend",
        warms_up=bool(spec.warmup),
        averages_buffers=bool(spec.use_buffers),
    )


MODELS = Assembler(_build, itself("models", stored=False))
