"""The parameter groups of an optimizer, from patterns over the models that it is for."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn
from torch.optim import Optimizer

from torchassistant.assembly.build_context import BuildContext, Defined
from torchassistant.assembly.module_patterns import pattern_of
from torchassistant.config import REST, Path
from torchassistant.errors import near
from torchassistant.graph import Models, distinct


def parameters_of_models(models: Models) -> list[nn.Parameter]:
    """Every parameter of some models, in their order; what they share stands once."""
    return distinct(parameter for model in models.values() for parameter in model.parameters())


def parameter_groups(context: BuildContext, one: Defined, models: Models) -> list[dict[str, Any]]:
    """The groups that an optimizer is given: in the config's order, and then the rest.

    What is left out on purpose is noted in ``Parts.untrained``.

    Args:
        context: Makes arguments, and knows where things stand.
        one: An optimizer that has groups.
        models: What it is for, by name.

    Raises:
        ConfigError: A group is empty, or a pattern of it matches nothing.
    """
    left, groups = parameters_of_models(models), []
    for index, spec in enumerate(one.spec.parameters):
        path: Path = (*one.path, "parameters", index)
        what = f'the group "{spec.shown_as}" of {one.what}'
        matched = {id(p) for p in pattern_of(context.maker, spec, path, models).parameters(models)}
        own = [parameter for parameter in left if id(parameter) in matched]
        if not own:
            why = (
                "earlier groups have all that it matches" if matched else "it matches no parameter"
            )
            raise context.maker.problem(f"{what} is empty: {why}", path)
        left = [parameter for parameter in left if id(parameter) not in matched]
        kwargs = context.maker.arguments(spec.kwargs, (*path, "kwargs"), what, one.key.group)
        groups.append({"params": own, "name": spec.shown_as, **kwargs})
    if not one.spec.rest:
        context.parts.untrained[one.name] = left
    elif left:
        groups.append({"params": left, "name": REST})
    return groups


def check_options(context: BuildContext, one: Defined, optimizer: Optimizer) -> None:
    """See that the optimizer has what groups are given; it would ignore other keys.

    Those of torch look at the values only where they are not a group's, so that they are tried.

    Raises:
        ConfigError: It has not, or it refuses a value.
    """
    kind = type(optimizer)
    for index, (spec, group) in enumerate(
        zip(one.spec.parameters, optimizer.param_groups, strict=False)
    ):
        path: Path = (*one.path, "parameters", index)
        for key in spec.kwargs:
            if key not in optimizer.defaults:
                message = (
                    f'groups of {kind.__name__} have no "{key}"{near(key, optimizer.defaults)}'
                )
                raise context.maker.problem(message, (*path, "kwargs", key))
        if kind.__module__.startswith("torch."):
            names = inspect.signature(kind).parameters.keys() & optimizer.defaults.keys()
            kwargs = {key: group[key] for key in names}
            context.maker.call(kind, [group["params"]], kwargs, path, one.what)
