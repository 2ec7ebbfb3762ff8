"""The steps by which a model becomes a compressed one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from torchassistant.rebuilding.int8_graph import with_int8_graph
from torchassistant.rebuilding.int8_weights import with_int8_weights
from torchassistant.rebuilding.low_rank import with_low_rank
from torchassistant.rebuilding.misfit import Misfit
from torchassistant.rebuilding.pruned import with_fewer_channels

Step = Mapping[str, Any]
"""A step as the config has it: its ``kind``, and what that says."""

__all__ = ["Misfit", "Step", "rebuilt"]


def rebuilt(model: nn.Module, steps: Sequence[Step], convert: bool = False) -> nn.Module:
    """Do the steps on a model, one after the other.

    Args:
        model: Is changed; use what is given back.
        steps: ``low_rank``, ``pruned``, ``int8_graph``, ``int8``.
        convert: Whether its weights become those of the result; else they are to be loaded.

    Raises:
        Misfit: A step does not fit the model, or cannot convert weights.
    """
    for step in steps:
        if step["kind"] == "low_rank":
            model = with_low_rank(model, step["ranks"], convert)
        elif step["kind"] == "int8_graph":
            model = with_int8_graph(model, step)
        elif step["kind"] == "int8":
            model = with_int8_weights(model, step["axes"], convert)
        elif convert:
            raise Misfit("which channels were left out is not known any more")
        else:
            model = with_fewer_channels(model, step["modules"])
    return model
