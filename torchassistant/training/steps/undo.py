"""What a step of training changes, noted before it, so that it can be taken back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from torchassistant.data import has_state
from torchassistant.training.optimizer_calls import parameters_of
from torchassistant.training.wrapped_optimizers import has_own_form, with_wrapped


def undo_of(
    optimizers: Sequence[Optimizer],
    restore_forward_state: Callable[[], None],
    objects: Iterable[Any] = (),
) -> Callable[[], None]:
    """Notes weights and the state of optimizers; what it returns puts that back, and more.

    Args:
        optimizers: Whose parameters.
        restore_forward_state: Puts back what forward passes change.
        objects: Others, whose ``state_dict`` is put back where they have one.
    """
    weights = [(p, p.detach().clone()) for p in parameters_of(optimizers)]
    whole = with_wrapped(optimizers)
    states = [{p: copy.deepcopy(own) for p, own in o.state.items()} for o in whole]
    others = (*objects, *filter(has_own_form, optimizers))
    stated = [(one, copy.deepcopy(one.state_dict())) for one in others if has_state(one)]

    def undo() -> None:
        restore_forward_state()
        with torch.no_grad():
            for parameter, weight in weights:
                parameter.copy_(weight)
        for optimizer, state in zip(whole, states, strict=True):
            optimizer.state.clear()
            optimizer.state.update(state)
        for one, own in stated:
            one.load_state_dict(own)

    return undo
