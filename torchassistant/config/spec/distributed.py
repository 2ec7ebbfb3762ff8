"""More than one process, in the config."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat

from torchassistant.config.blocks import Block, Count


class DistributedSpec(Block):
    """How several processes train together."""

    strategy: Literal["ddp", "fsdp"] = Field(
        "ddp",
        description="`ddp`: each process holds all models, and gradients are added up. `fsdp`: "
        "each holds some rows of every parameter that is trained, and of what its optimizer keeps.",
    )
    sync_batch_norm: bool = Field(
        False,
        description="Whether batch norm in training is over the whole batch, and not over the part "
        "of each process; messages for each layer, there and back.",
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

    @property
    def shares_models(self) -> bool:
        """Whether several processes each hold a piece of every model."""
        return self.strategy == "fsdp"
