"""Train and eval mode of many modules at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from torchassistant.compat.modules import dropout_classes, running_norm_classes


@contextmanager
def evaluating(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Eval mode without gradient; afterwards every submodule has the mode that it had before."""
    with in_eval_mode(modules), torch.no_grad():
        yield


@contextmanager
def in_eval_mode(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Eval mode; afterwards every submodule has the mode that it had before."""
    modules = list(modules)
    modes = [(part, part.training) for module in modules for part in module.modules()]
    try:
        for module in modules:
            module.eval()
        yield
    finally:
        for part, training in modes:
            part.training = training


def mode_dependent(model: nn.Module) -> list[str]:
    """The classes of torch, among the parts in train mode of a model, that act otherwise in it."""
    parts = (part for part in model.modules() if part.training and _depends_on_mode(part))
    return sorted({type(part).__name__ for part in parts})


def norms_in_train_mode(model: nn.Module) -> list[nn.Module]:
    """The norms in train mode of a model that have running statistics, by which they go in eval."""
    return [part for part in model.modules() if part.training and _has_statistics(part)]


def _has_statistics(part: nn.Module) -> bool:
    return isinstance(part, running_norm_classes()) and bool(part.track_running_stats)


def _depends_on_mode(part: nn.Module) -> bool:
    if isinstance(part, dropout_classes()):
        return part.p > 0
    if isinstance(part, running_norm_classes()):
        return _has_statistics(part)
    dropout = getattr(part, "dropout", 0)
    return isinstance(part, (nn.RNNBase, nn.MultiheadAttention)) and dropout > 0


def is_part_of_one(model: nn.Module, models: Iterable[nn.Module]) -> bool:
    """Whether a model is one of these, or a part of one: who trains the whole trains its parts."""
    return any(model is part for whole in models for part in whole.modules())
