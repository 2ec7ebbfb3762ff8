"""The models of a session, made smaller in memory."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from torchassistant.rebuilding import Misfit, axes_of, ranks_within, rebuilt


@dataclass(frozen=True, slots=True, eq=False)
class Converted:
    """A model that was made smaller.

    Args:
        steps: What was done, as the config has it.
        model: The result, with its weights.
    """

    steps: Sequence[Mapping[str, Any]]
    model: nn.Module


def converted(model: nn.Module, method: Mapping[str, Any]) -> Converted:
    """Make a copy of a model smaller.

    Args:
        model: Stays as it is.
        method: See :class:`Candidate`.

    Raises:
        Misfit: It cannot be done to this model.
    """
    steps = [_step(model, method)]
    return Converted(steps, rebuilt(copy.deepcopy(model), steps, convert=True))


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
