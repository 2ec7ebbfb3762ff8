"""An optimizer, and its scheduler, as they would be if the run began where it is."""

from __future__ import annotations

from typing import NamedTuple

from torch.optim import Optimizer

from torchassistant.assembly.builder import Builder
from torchassistant.config import Key
from torchassistant.data import derived, seed_everything, seeded
from torchassistant.training import Scheduler


class Anew(NamedTuple):
    """An optimizer that has not made a step yet.

    Args:
        optimizer: Over the parameters of the live one.
        scheduler: Its own; None where it has none.
    """

    optimizer: Optimizer
    scheduler: Scheduler | None


def optimizer_anew(builder: Builder, name: str) -> Anew:
    """Build an optimizer once more; the live one, and torch's random numbers, stay as they are.

    Args:
        builder: Has built the live one.
        name: Its definition.
    """
    key, schedulers = Key("optimizers", name), builder.parts.schedulers
    live = schedulers.get(name)
    with seeded(builder.parts.seed):
        seed_everything(derived(builder.parts.seed, *key))
        optimizer = builder.built(key)
    made = schedulers.get(name)
    if live is None:
        return Anew(optimizer, None)
    schedulers[name] = live
    return Anew(optimizer, made)
