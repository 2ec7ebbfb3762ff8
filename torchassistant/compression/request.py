"""What a search for a smaller model is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from torchassistant.errors import ConfigError, near

Objective = Literal["size", "latency"]
METHODS = ("int8", "int8-dynamic", "int8-static", "low-rank", "prune", "distill")
"""Ways to make a model smaller, those that cost least first."""


@dataclass(frozen=True, slots=True)
class Request:
    """What decides which candidates a search tries.

    Args:
        monitor: A column of the history: what must not get worse by more than ``delta``.
        delta: In the monitor's units.
        objective: What is made small: the bytes of the weights, or the time of a forward pass.
        methods: Some of ``METHODS``.
        finetune: Epochs that what was pruned, or cut down in rank, is trained; 0 trains nothing.
        mode: What is better of the monitor; None: as its loss or metric says.
    """

    monitor: str
    delta: float
    objective: Objective = "size"
    methods: Sequence[str] = METHODS
    finetune: int = 2
    mode: Literal["min", "max"] | None = None

    def __post_init__(self) -> None:
        for name in self.methods:
            if name not in METHODS:
                raise ConfigError(f'"{name}" is no method{near(name, METHODS)}')
        if not self.methods:
            raise ConfigError("no method is left to try")
        if not 0 <= self.delta < float("inf"):
            raise ConfigError(f"delta must be a number of at least 0; found {self.delta}")
        if self.finetune < 0:
            raise ConfigError(f"finetune must be at least 0; found {self.finetune}")

    def as_data(self) -> dict[str, Any]:
        """The same as JSON data."""
        return {**asdict(self), "methods": list(self.methods)}
