"""Models that the processes share, each of which holds some rows of every parameter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from torchassistant.assembly import Parts, give_memory
from torchassistant.errors import ConfigError
from torchassistant.parallel import shard, shared_like
from torchassistant.session.state.library_state import tried
from torchassistant.training import has_own_form, is_by_closure, parameters_of, wrapped_in


def share_models(parts: Parts) -> None:
    """Share the models that optimizers train, and the averages of these.

    Pipelines and stages are built afterwards.

    Args:
        parts: What is built of a session. Optimizers get the parameters that the models have then.

    Raises:
        ConfigError: Something cannot be shared.
    """
    shared = _trained(parts)
    problems = list(_problems(parts, shared))
    if problems:
        raise ConfigError(*problems)
    became: dict[int, nn.Parameter] = {}
    before: list[nn.Parameter] = []
    for name, model in parts.whole_models.items():
        old = list(model.parameters())
        if name in shared:
            shard(model)
        give_memory(model)
        became |= {id(p): now for p, now in zip(old, model.parameters(), strict=True)}
        before += old  # no other parameter gets the id of one of them meanwhile
    for optimizer in parts.optimizers.values():
        for one in (optimizer, *wrapped_in(optimizer).values()):
            _give(one, became)
    for left_out in parts.untrained.values():
        left_out[:] = [became.get(id(parameter), parameter) for parameter in left_out]
    del before


def _trained(parts: Parts) -> dict[str, nn.Module]:
    held = {id(parameter) for parameter in parameters_of(parts.optimizers.values())}
    found = {
        name: model
        for name, model in parts.whole_models.items()
        if any(id(parameter) in held for parameter in model.parameters())
    }
    of_them = {id(model) for model in found.values()}
    return found | {
        name: average.model
        for name, average in parts.averages.items()
        if id(average.averaged) in of_them
    }


def _problems(parts: Parts, shared: dict[str, nn.Module]) -> Iterator[str]:
    owner: dict[int, str] = {}
    for name, model in shared.items():
        kinds = {parameter.dtype for parameter in model.parameters()}
        if len(kinds) > 1 or not all(kind.is_floating_point for kind in kinds):
            found = " and ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds))
            what = f'the parameters of the model "{name}" are {found}'
            yield f'{what}; "fsdp" shares what is of one kind, of floating point'
        if any(getattr(layer, "sparse", False) is True for layer in model.modules()):
            what = f'the model "{name}" has sparse gradients, which cannot be added up'
            yield f'{what}: leave out "sparse": true'
        for key, parameter in model.named_parameters():
            what = f'the parameter "{key}" of the model "{name}"'
            if is_lazy(parameter):
                yield f'{what} has no shape yet, and "fsdp" needs one: give its layer its sizes'
            elif not parameter.ndim:
                yield f'{what} is a scalar, which "fsdp" cannot share: give it the shape (1,)'
            elif not (parameter.is_cpu or parameter.is_meta):
                yield f'{what} is on {parameter.device}, and "fsdp" is for models on the CPU yet'
            other = owner.setdefault(id(parameter), name)
            if other != name:
                yield f'{what} belongs to "{other}" too, so that "fsdp" cannot share either'
    for name, optimizer in parts.optimizers.items():
        if is_by_closure(optimizer):
            yield f'the optimizer "{name}" needs a closure, and cannot go with "fsdp"; "ddp" can'
        elif not _keeps_by_element(optimizer):
            yield (
                f'the optimizer "{name}" keeps for a parameter what has not its shape, which '
                'cannot go with "fsdp"; "ddp" can'
            )
        if any(id(p) not in owner for p in parameters_of([optimizer])):
            yield (
                f'the optimizer "{name}" has parameters that are no model\'s, as those of a loss, '
                'which "fsdp" cannot share; "ddp" can'
            )


def _keeps_by_element(optimizer: Optimizer) -> bool:
    """Whether what an optimizer keeps of a parameter has its shape, or is one number."""
    if has_own_form(optimizer):
        return False
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            for made in tried(optimizer, group, parameter).values():
                is_tensor = isinstance(made, torch.Tensor) and made.numel() > 1
                if is_tensor and made.ndim != parameter.ndim:
                    return False
    return True


def _give(optimizer: Optimizer, became: dict[int, nn.Parameter]) -> None:
    """Let an optimizer have the parameters that models have now, and what it keeps of each."""
    for group in optimizer.param_groups:
        group["params"] = [became.get(id(p), p) for p in group["params"]]
    kept: Any = defaultdict(dict)
    for parameter, state in optimizer.state.items():
        now = became.get(id(parameter), parameter)
        kept[now] = {
            key: shared_like(now, value)
            if isinstance(value, torch.Tensor) and value.shape == now.shape
            else value
            for key, value in state.items()
        }
    optimizer.state = kept
