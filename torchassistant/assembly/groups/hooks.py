"""Hooks on parameters (backward) and on modules (forward), registered with torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torchassistant.assembly.build_context import BuildContext, Defined
from torchassistant.assembly.groups.assembler import Assembler, itself


def _build_backward(context: BuildContext, one: Defined) -> list[Any]:
    named = context.parts.module(one.spec.model).named_parameters()
    parameters = {name: parameter for name, parameter in named if parameter.requires_grad}
    hooks = _hooks(context, one, list(parameters))
    return [
        parameter.register_hook(hook)
        for parameter, hook in zip(parameters.values(), hooks, strict=True)
        if hook is not None
    ]


def _build_forward(context: BuildContext, one: Defined) -> list[Any]:
    modules = dict(context.parts.module(one.spec.model).named_modules())
    hooks = _hooks(context, one, list(modules))
    return [
        module.register_forward_hook(hook)
        for module, hook in zip(modules.values(), hooks, strict=True)
        if hook is not None
    ]


def _hooks(context: BuildContext, one: Defined, names: Sequence[str]) -> list[Any]:
    """What the function of the config gives for each name: a hook, or None."""
    path, maker = (*one.path, "factory_fn"), context.maker
    factory = maker.find(one.spec.factory_fn, path, one.key.group)
    what = f'the hooks "{one.name}"'
    return [maker.call(factory, [name], {}, one.path, what) for name in names]


BACKWARD_HOOKS = Assembler(_build_backward, itself("backward_hooks"))
FORWARD_HOOKS = Assembler(_build_forward, itself("forward_hooks"))
