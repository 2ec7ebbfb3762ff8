"""An optimizer, or its scheduler, as it is when it begins; the live ones stay as they are."""

from __future__ import annotations

from torch.optim import Optimizer

from torchassistant.assembly.builder import Builder
from torchassistant.assembly.schedulers import scheduler_of
from torchassistant.config import Key
from torchassistant.data import derived, seed_everything, seeded
from torchassistant.training import Scheduler


def optimizer_anew(builder: Builder, name: str) -> Optimizer:
    """An optimizer over the same parameters that has not made a step; random numbers stay.

    Args:
        builder: Has built the live one.
        name: Its definition.
    """
    key, schedulers = Key("optimizers", name), builder.parts.schedulers
    live = schedulers.get(name)
    with seeded(builder.parts.seed):
        seed_everything(derived(builder.parts.seed, *key))
        optimizer: Optimizer = builder.built(key)
    if live is not None:
        schedulers[name] = live
    return optimizer


def scheduler_anew(builder: Builder, name: str, stage: int) -> Scheduler:
    """A scheduler that has not stepped, of an optimizer of its own.

    Args:
        builder: Has built the live one.
        name: The definition of its optimizer.
        stage: The index of the stage in which it begins.
    """
    optimizer = optimizer_anew(builder, name)
    (one,) = [one for one in builder.defined("optimizers") if one.name == name]
    return scheduler_of(builder, one, optimizer, stage)
