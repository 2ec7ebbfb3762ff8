"""Averages of models over their training, with the formulas of ``torch.optim.swa_utils``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_avg_fn, get_swa_multi_avg_fn

from torchassistant.compat.foreach import copy_all, lerp_all
from torchassistant.compat.modules import own_buffers, unsaved_names
from torchassistant.errors import DataError
from torchassistant.graph import NOTHING_FROZEN, Frozen
from torchassistant.parallel import own_rows
from torchassistant.training.optimizer_calls import parameters_of
from torchassistant.training.progress import StopCheck

Tensors = tuple[list[torch.Tensor], list[torch.Tensor]]
"""Of an average, and the same of its model."""


@dataclass(frozen=True, slots=True)
class Averaging:
    """How a model is averaged.

    Args:
        kind: ``ema``, an exponential moving average, or ``swa``, the mean of all updates.
        decay: Of ``ema``: the weight of the average so far.
        interval: ``step`` or ``epoch``: what is counted.
        every: After so many of them there is an update.
        start: So many pass before that.
        blends_first: Whether the first update averages too, and does not copy the model.
        warms_up: Whether the decay is at most (1 + n) / (10 + n) after n updates.
        averages_buffers: Whether buffers are averaged too, and not copied.
    """

    kind: str = "ema"
    decay: float = 0.999
    interval: str = "step"
    every: int = 1
    start: int = 0
    blends_first: bool = False
    warms_up: bool = False
    averages_buffers: bool = False

    def __str__(self) -> str:
        """As a clause for a person, as ``ema, decay 0.999, after each step``."""
        decay = [f"decay {self.decay:g}"] if self.kind == "ema" else []
        often = f"each {self.interval}" if self.every == 1 else f"{self.every} {self.interval}s"
        start = [f"from {self.interval} {self.start + self.every} on"] if self.start else []
        return ", ".join([self.kind, *decay, f"after {often}", *start])


class Average:
    """Keeps a model that is an average of another up to date.

    Args:
        name: What the config calls it.
        model: The average: a copy of its model, without gradient.
        averaged: The model that is averaged.
        averaging: How.

    Attributes:
        counted: So many steps, or epochs, that train the model have been made.
        updates: So many of them were followed by an update.
        epoch: The last epoch that was counted, over all stages from 1.
        recompute: Recomputes the statistics of batch norm layers, which are not those of averaged
            weights; None where that is not needed.
        is_stale: Whether that is due.
    """

    def __init__(
        self, name: str, model: nn.Module, averaged: nn.Module, averaging: Averaging
    ) -> None:
        self.name = name
        self.model = model
        self.averaged = averaged
        self.averaging = averaging
        self.counted = self.updates = self.epoch = 0
        self.recompute: Callable[[StopCheck], None] | None = None
        self.is_stale = False
        self._parameters: list[Tensors] = []
        self._modules: list[tuple[nn.Module, Any, nn.Module, Any]] = []

    def is_trained_by(
        self, optimizers: Iterable[Optimizer], frozen: Frozen = NOTHING_FROZEN
    ) -> bool:
        """Whether one of these changes its model, and not only what is frozen of it."""
        own = {id(parameter) for parameter in self.averaged.parameters()}
        held = [parameter for parameter in parameters_of(optimizers) if id(parameter) in own]
        return bool(held) and not frozen.holds_all_of(held)

    def prepare(self) -> None:
        """Look at the tensors of both models again: those of the model may be others meanwhile.

        Raises:
            DataError: The model has other parts than it was built with.
        """
        try:
            pairs = list(zip(self.model.parameters(), self.averaged.parameters(), strict=True))
            modules = list(zip(self.model.modules(), self.averaged.modules(), strict=True))
        except ValueError:
            raise DataError(
                f'the model that "{self.name}" is an average of has got other parts since it was '
                "built, so that it cannot be averaged"
            ) from None
        self._parameters = _by_kind(pairs)
        self._modules = [
            (a, own_buffers(a), b, own_buffers(b)) for a, b in modules if _may_have_buffers(b)
        ]

    def count(self) -> None:
        """A step, or an epoch, that trains the model is done: update the average, where it is due.

        :meth:`prepare` comes before it.
        """
        self.counted += 1
        past = self.counted - self.averaging.start
        if past > 0 and past % self.averaging.every == 0:
            self._update()

    def count_epoch(self, number: int) -> None:
        """The same for an epoch, which may be told of twice.

        Args:
            number: Of the epoch over all stages, from 1.
        """
        if number > self.epoch:
            self.epoch = number
            self.prepare()
            self.count()

    def reset(self) -> None:
        """Begin anew, with the model as it is now."""
        self.prepare()
        self._copy()
        self.counted = self.updates = self.epoch = 0
        self.is_stale = False

    def refresh(self, stop: StopCheck) -> None:
        """Recompute the statistics of batch norm layers, if there was an update since.

        Args:
            stop: Ends that early, so that it remains to be done.

        Raises:
            Interrupted: ``stop`` asked for it.
        """
        if self.is_stale and self.recompute is not None:
            self.recompute(stop)
            self.is_stale = False

    def _update(self) -> None:
        if self.updates == 0 and not self.averaging.blends_first:
            self._copy()
        else:
            if self._modules and not self.averaging.averages_buffers:
                copy_all(*self._buffers())
            for average, current in self._averaged():
                self._blend(average, current)
        self.updates += 1
        self.is_stale = self.recompute is not None

    def _copy(self) -> None:
        for average, current in [*self._parameters, self._buffers()]:
            copy_all(average, current)

    def _averaged(self) -> list[Tensors]:
        """What is averaged, by device and dtype."""
        if not self.averaging.averages_buffers:
            return self._parameters
        return [*self._parameters, *_by_kind(zip(*self._buffers(), strict=True))]

    def _blend(self, average: list[torch.Tensor], current: list[torch.Tensor]) -> None:
        n = self.updates
        if self.averaging.kind == "swa":
            _mean(average, current, n)
            return
        decay = self.averaging.decay
        if self.averaging.warms_up:
            decay = min(decay, (1 + n) / (10 + n))
        _moving_mean(average, current, decay)

    def _buffers(self) -> Tensors:
        """The buffers of both, each once; one that has got another shape is replaced at once."""
        found: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        for module, mine, other, theirs in self._modules:
            for name, buffer in theirs.items():
                own = mine.get(name)
                if own is not None and buffer is not None and own.shape == buffer.shape:
                    found[id(own)] = (own, buffer)
                elif own is not None or buffer is not None or name not in mine:
                    is_saved = name not in unsaved_names(other)
                    copy = None if buffer is None else buffer.detach().clone()
                    module.register_buffer(name, copy, persistent=is_saved)
        pairs = found.values()
        return [own for own, _ in pairs], [buffer for _, buffer in pairs]

    def state_dict(self) -> dict[str, int]:
        """How often it was counted and updated; its weights are those of a model."""
        return {
            "counted": self.counted,
            "updates": self.updates,
            "epoch": self.epoch,
            "stale": int(self.is_stale),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there.

        Raises:
            ValueError: These are not its numbers.
        """
        known = self.state_dict()
        if state.keys() != known.keys() or not all(map(_is_count, state.values())):
            raise ValueError(f"it has not the numbers {', '.join(known)}")
        self.counted, self.updates = state["counted"], state["updates"]
        self.epoch, self.is_stale = state["epoch"], state["stale"] > 0


def _moving_mean(average: list[torch.Tensor], current: list[torch.Tensor], decay: float) -> None:
    """An exponential moving average, without the guard of gradients that detached ones spare."""
    if _is_continuous(average[0]):
        lerp_all(average, current, 1 - decay)
    else:
        get_ema_multi_avg_fn(decay)(average, current, 0)


def _mean(average: list[torch.Tensor], current: list[torch.Tensor], n: int) -> None:
    """The mean of n + 1 updates, rounded as ``AveragedModel`` does by default."""
    one = average[0]
    if one.device.type in _TOGETHER and _is_continuous(one):
        get_swa_multi_avg_fn()(average, current, n)
        return
    mean = get_swa_avg_fn()
    for mine, theirs in zip(average, current, strict=True):
        mine.copy_(mean(mine, theirs, n))


_TOGETHER = ("cuda", "xpu")
"""Devices on which torch averages many tensors in one call."""


def _is_continuous(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _may_have_buffers(module: nn.Module) -> bool:
    """Whether a module has buffers, or may get some when it runs; a layer of torch gets none."""
    return bool(len(own_buffers(module))) or not type(module).__module__.startswith("torch.nn.")


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _by_kind(pairs: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> list[Tensors]:
    """Tensors in groups of one device and one dtype, as torch takes them together."""
    groups: dict[tuple[Any, Any], Tensors] = {}
    for average, current in pairs:
        mine, theirs = groups.setdefault((average.device, average.dtype), ([], []))
        # Of models that processes share, each keeps its rows of both.
        mine.append(own_rows(average.detach()))
        theirs.append(own_rows(current.detach()))
    return list(groups.values())
