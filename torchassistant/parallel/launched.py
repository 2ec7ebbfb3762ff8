"""What a launcher says of the processes that it has started, in their environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from torchassistant.errors import ConfigError, EndedElsewhere

LOST = 1
"""The exit status where another process is lost."""

_NAMES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, slots=True)
class Launched:
    """One of several processes that were started to work together.

    Args:
        rank: Its number among all, from 0.
        size: How many they are.
        address: Where the store is by which they find each other.
        port: Likewise.
        is_store_there: Whether the launcher keeps the store; else the first process does.
        local_rank: Its number among those of this machine.
        local_size: How many of them are on this machine.
        attempt: How often the launcher has started all of them anew.
    """

    rank: int
    size: int
    address: str
    port: int
    is_store_there: bool = False
    local_rank: int = 0
    local_size: int = 1
    attempt: int = 0

    def unanswered(self, why: str) -> EndedElsewhere:
        """The launcher is lost, or whoever else keeps the store."""
        first_line = why.partition("\n")[0]
        message = f"the launcher of the processes does not answer: {first_line}"
        # One on each machine says so: what one of them prints may be seen nowhere else.
        first = 0 if self.is_store_there else 1
        return EndedElsewhere(message, LOST, self.rank == first or self.local_rank == 0)


def launched(environment: Mapping[str, str] | None = None) -> Launched | None:
    """What torchrun, or another launcher, has started; None for a process that is alone.

    Args:
        environment: Left out: that of this process.

    Raises:
        ConfigError: A variable has no number, or one that cannot be.
    """
    found = os.environ if environment is None else environment
    if any(name not in found for name in _NAMES):
        return None

    def number(name: str, otherwise: int, least: int = 0) -> int:
        text = found.get(name, str(otherwise))
        if not text.isdecimal() or int(text) < least:
            raise ConfigError(
                f"the environment variable {name} of the launcher must be a whole number of at "
                f"least {least}; found {text!r}"
            )
        return int(text)

    rank, size = number("RANK", 0), number("WORLD_SIZE", 1, 1)
    if rank >= size:
        raise ConfigError(
            f"the environment variable RANK of the launcher must be below WORLD_SIZE ({size}); "
            f"found {rank}"
        )
    return Launched(
        rank,
        size,
        found["MASTER_ADDR"],
        number("MASTER_PORT", 0, 1),
        found.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
        number("LOCAL_RANK", rank),
        number("LOCAL_WORLD_SIZE", size, 1),
        number("TORCHELASTIC_RESTART_COUNT", 0),
    )
