"""The models of a session, made smaller in memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from torchassistant.compression.calls import PartCall
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
    """

    steps: Sequence[Mapping[str, Any]]
    model: nn.Module


class Converter:
    """Makes copies of models smaller.

    Args:
        calls: Gives what each model is called with, for one batch, by name.
    """

    def __init__(self, calls: Callable[[], Mapping[str, Sequence[PartCall]]]) -> None:
        self.calls = calls
        self.prunings: dict[str, Pruning] = {}

    def converted(self, name: str, model: nn.Module, method: Mapping[str, Any]) -> Converted:
        """Make a copy of a model smaller.

        Args:
            name: Of the model.
            model: Stays as it is; of a method that prunes, the same each time.
            method: See :class:`Candidate`.

        Raises:
            Misfit: It cannot be done to this model.
        """
        if method["kind"] == "prune":
            small = self._pruning(name, model).pruned(method["share"])
            sizes = difference_of_structure(model, small)
            return Converted([{"kind": "pruned", "modules": sizes}], small)
        steps = [_step(model, method)]
        return Converted(steps, rebuilt(copy.deepcopy(model), steps, convert=True))

    def _pruning(self, name: str, model: nn.Module) -> Pruning:
        if name not in self.prunings:
            self.prunings[name] = Pruning(model, self.calls().get(name, []))
            note = self.prunings[name].note
            if note:
                _LOGGER.info('pruning "%s": %s', name, note)
        return self.prunings[name]


def _step(model: nn.Module, method: Mapping[str, Any]) -> dict[str, Any]:
    if method["kind"] == "int8":
        axes = axes_of(model)
        if not axes:
            raise Misfit("it has no weights that int8 makes smaller")
        return {"kind": "int8", "axes": axes}
    ranks = ranks_within(model, method["share"])
    if not ranks:
        raise Misfit("it has no layer that a lower rank makes smaller")
    return {"kind": "low_rank", "ranks": ranks}
