"""Functions that give and change the state of an optimizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def halved(state: dict[str, Any]) -> dict[str, Any]:
    """The state with half of each momentum; said each time it is called."""
    with Path("changed").open("a") as changed:
        changed.write("once\n")
    for own in state["state"].values():
        own["momentum_buffer"] = own["momentum_buffer"] / 2
    return state


def ones(session: Any, shapes: list[list[int]]) -> dict[str, Any]:
    """Momenta of ones."""
    states = {i: {"momentum_buffer": torch.ones(shape)} for i, shape in enumerate(shapes)}
    return {"state": states, "param_groups": [{"params": [*states]}]}


def emptied(state: dict[str, Any]) -> list[Any]:
    """No state of an optimizer."""
    return []


def broken(state: dict[str, Any]) -> dict[str, Any]:
    """Fails."""
    raise ArithmeticError("no such state")
