"""Optimizers whose state is more than torch's table: it has a form of its own, or is in another.

SAM and its like step by an optimizer of their own making, and leave its state out of theirs.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch.optim import Optimizer


def has_own_form(optimizer: Optimizer) -> bool:
    """Whether the class says by itself what its state is."""
    return type(optimizer).state_dict is not Optimizer.state_dict


def wrapped_in(optimizer: Optimizer) -> dict[str, Optimizer]:
    """The optimizers that one keeps as attributes, by their names, where its state lacks theirs."""
    if has_own_form(optimizer):
        return {}
    return {
        name: value
        for name, value in vars(optimizer).items()
        if isinstance(value, Optimizer) and value.state is not optimizer.state
    }


def with_wrapped(optimizers: Iterable[Optimizer]) -> list[Optimizer]:
    """Optimizers, each followed by those that it keeps."""
    return [one for whole in optimizers for one in (whole, *wrapped_in(whole).values())]
