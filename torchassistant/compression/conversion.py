"""The models of a session, made smaller in memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from torchassistant.compression.calls import PartCall
from torchassistant.compression.int8_graphs import int8_graphs
from torchassistant.compression.pruning import Pruning
from torchassistant.messages import logger_for
from torchassistant.rebuilding import (
    Misfit,
    axes_of,
    difference_of_structure,
    ranks_within,
    rebuilt,
)

_LOGGER = logger_for(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Converted:
    """A model that was made smaller.

    Args:
        steps: What was done, as the config has it.
        model: The result, with its weights.
        misfit: Why the method cannot be done to it, or all of it; None where it can.
    """

    steps: Sequence[Mapping[str, Any]]
    model: nn.Module
    misfit: Misfit | None = None


Calls = Mapping[str, Sequence[PartCall]]
"""What models are called with, by name."""


class Converter:
    """Makes copies of models smaller.

    Args:
        calls: Gives what each model is called with, for one batch.
    """

    def __init__(self, calls: Callable[[], Calls]) -> None:
        self.calls = calls
        self.prunings: dict[str, Pruning] = {}

    def converted(
        self,
        name: str,
        model: nn.Module,
        method: Mapping[str, Any],
        training: Callable[[], Calls],
    ) -> Converted:
        """Make a copy of a model smaller, as far as it can be done.

        Args:
            name: Of the model.
            model: Stays as it is; of a method that prunes, the same each time.
            method: See :class:`Candidate`.
            training: Gives what each model is called with, for some batches of training data.
        """
        try:
            return self._converted(name, model, method, training)
        except Misfit as error:
            return Converted([], model, error)

    def _converted(
        self,
        name: str,
        model: nn.Module,
        method: Mapping[str, Any],
        training: Callable[[], Calls],
    ) -> Converted:
        kind, misfit = method["kind"], None
        if kind == "prune":
            small = self._pruning(name, model).pruned(method["share"])
            sizes = difference_of_structure(model, small)
            return Converted([{"kind": "pruned", "modules": sizes}], small)
        if kind == "low-rank":
            steps = [_low_rank(model, method["share"])]
        else:
            steps = [_int8(model)]
            if kind != "int8":
                dynamic = kind == "int8-dynamic"
                try:
                    steps[:0] = int8_graphs(model, training().get(name, []), dynamic)
                except Misfit as error:  # its weights are int8 all the same
                    misfit = error
        return Converted(steps, rebuilt(copy.deepcopy(model), steps, convert=True), misfit)

    def _pruning(self, name: str, model: nn.Module) -> Pruning:
        if name not in self.prunings:
            self.prunings[name] = Pruning(model, self.calls().get(name, []))
            note = self.prunings[name].note
            if note:
                _LOGGER.info('pruning "%s": %s', name, note)
        return self.prunings[name]


def _int8(model: nn.Module) -> dict[str, Any]:
    axes = axes_of(model)
    if not axes:
        raise Misfit("it has no weights that int8 makes smaller")
    return {"kind": "int8", "axes": axes}


def _low_rank(model: nn.Module, share: float) -> dict[str, Any]:
    ranks = ranks_within(model, share)
    if not ranks:
        raise Misfit("it has no layer that a lower rank makes smaller")
    return {"kind": "low_rank", "ranks": ranks}
