"""What happens once when a stage begins: models start from an earlier state, parts begin anew.

It follows from the state between two stages alone, and nothing is saved before it is done. Where a
run is cut, it either happens again from that same state, or is part of what was saved.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from torch.optim import Optimizer

from torchassistant.assembly import Builder, optimizer_anew, scheduler_anew
from torchassistant.config import own_models, owner_of, path_within
from torchassistant.session.checkpoints.storage import Checkpoint
from torchassistant.session.state.optimizer_state import load_optimizer, state_of_optimizer
from torchassistant.session.state.state import restore_model


def begin_stage(builder: Builder, index: int, source: Checkpoint | None) -> None:
    """Bring live objects from the end of a stage to where the next one begins.

    Args:
        builder: Has built them.
        index: The index of the stage that begins.
        source: The state that it starts from; None: from where the stage before has ended.

    Raises:
        SessionError: That state does not fit the models.
        UserCodeError: The user's code raised.
    """
    stage = builder.spec.train.stages[index]
    if source is not None and stage.start_from is not None:
        models = builder.spec.group("models")
        # An average goes on as it is, unless it is named.
        for name in stage.start_from.models or own_models(models):
            path = path_within(name, models)
            restore_model(source, builder.parts, name, owner_of(name, models), path)
    for name in stage.reset:
        group, _, own = name.partition(".")
        RESETS[group](builder, own, index)


def _reset_optimizer(builder: Builder, name: str, stage: int) -> None:
    """No state, and the options of the config; the rates stay where a scheduler has taken them."""
    optimizer = builder.parts.optimizers[name]
    rates = [_rates(group) for group in optimizer.param_groups]
    load_optimizer(optimizer, copy.deepcopy(state_of_optimizer(optimizer_anew(builder, name))))
    if name in builder.parts.schedulers:
        _set_rates(optimizer, rates)


def _reset_scheduler(builder: Builder, name: str, stage: int) -> None:
    """As if it had not stepped; its optimizer gets the rates with which it begins."""
    live, anew = builder.parts.schedulers[name], scheduler_anew(builder, name, stage)
    live.scheduler.load_state_dict(copy.deepcopy(anew.scheduler.state_dict()))
    _set_rates(live.optimizer, [_rates(group) for group in anew.optimizer.param_groups])


def _reset_average(builder: Builder, name: str, stage: int) -> None:
    """Its model as it is now, and nothing counted."""
    builder.parts.averages[name].reset()


RESETS: Mapping[str, Callable[[Builder, str, int], None]] = {
    "optimizers": _reset_optimizer,
    "schedulers": _reset_scheduler,
    "averages": _reset_average,
}
"""How each kind of what a stage may reset begins anew, by what stands before the dot: with the name
behind it, and the index of the stage that begins."""

_OF_RATES = ("lr", "initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum")
_CYCLED = ("momentum", "betas")
"""What schedulers that cycle the momentum too, which leave its limits there, set as well."""


def _rates(group: Mapping[str, Any]) -> dict[str, Any]:
    """What a scheduler keeps in a group of parameters."""
    names = (*_OF_RATES, *_CYCLED) if "max_momentum" in group else _OF_RATES
    return {name: copy.deepcopy(group[name]) for name in names if name in group}


def _set_rates(optimizer: Optimizer, rates: list[dict[str, Any]]) -> None:
    for group, own in zip(optimizer.param_groups, rates, strict=True):
        group.update(own)
