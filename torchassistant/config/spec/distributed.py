"""More than one process, in the config."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat

from torchassistant.config.blocks import Block, Count


class DistributedSpec(Block):
    """How several processes train together."""

    strategy: Literal["ddp"] = Field(
        "ddp", description="Each process holds all models; gradients are added up."
    )
    logical_ranks: Count | None = Field(
        None,
        description="Into how many parts each batch is cut, whatever the number of processes, "
        "which must divide it: all have the same bits. Left out: one for each process.",
    )
    timeout: PositiveFloat = Field(
        60.0,
        description="Seconds without a sign of life after which a process counts as lost, and all "
        "end.",
    )
