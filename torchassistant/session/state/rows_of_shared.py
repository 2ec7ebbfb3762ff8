"""What is kept of stored tensors that processes share: of each its own rows, as it is read."""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from torch import nn
from torch.optim import Optimizer

from torchassistant.parallel import is_shared, shared_like
from torchassistant.session.files.durable_files import Take
from torchassistant.session.state.optimizer_state import WRAPPED
from torchassistant.training import wrapped_in


def rows_of_model(model: nn.Module, prefix: str = "") -> Take | None:
    """What a model keeps of its stored tensors; None: all of them, as it is not shared.

    Args:
        model: Which one.
        prefix: What stands before the names of its tensors where they are stored.
    """
    live = {f"{prefix}{name}": p for name, p in model.named_parameters(remove_duplicate=False)}
    shared = {name: parameter for name, parameter in live.items() if is_shared(parameter)}
    if not shared:
        return None

    def take(name: str, tensor: torch.Tensor) -> torch.Tensor:
        return _like(shared.get(name), tensor)

    return take


def rows_of_optimizer(optimizer: Optimizer) -> Take | None:
    """The same for an optimizer, which keeps tensors in the shapes of its parameters."""
    shared = dict(_places(optimizer, ""))
    for name, one in wrapped_in(optimizer).items():
        shared |= dict(_places(one, f"{WRAPPED}.{name}."))
    if not shared:
        return None

    def take(name: str, tensor: torch.Tensor) -> torch.Tensor:
        place = _OF_PARAMETER.match(name)
        return _like(shared.get(place[0]) if place else None, tensor)

    return take


_OF_PARAMETER = re.compile(rf"({WRAPPED}\..*?\.)?state\.[0-9]+\.")


def _places(optimizer: Optimizer, before: str) -> Iterator[tuple[str, torch.Tensor]]:
    """How the names of tensors begin that are of a parameter, as torch numbers those."""
    numbers: dict[int, int] = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            number = numbers.setdefault(id(parameter), len(numbers))
            if is_shared(parameter):
                yield f"{before}state.{number}.", parameter


def _like(live: torch.Tensor | None, tensor: torch.Tensor) -> torch.Tensor:
    if live is None or live.shape != tensor.shape:
        return tensor
    return shared_like(live, tensor)
