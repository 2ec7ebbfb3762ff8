"""What is trained."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from torchassistant.config.blocks import ObjectSpec
from torchassistant.config.change_rule import Rule
from torchassistant.config.groups.group import Group, all_of_it
from torchassistant.config.role import METRIC, MODULE, MODULE_BASES, Role


class ModelSpec(ObjectSpec):
    """A ``torch.nn.Module``."""

    memory_format: Literal["channels_last", "channels_last_3d"] | None = Field(
        None,
        description="Memory format of its weights and input images; left out: torch's default.",
    )


MODELS = Group(
    "models",
    "model",
    ModelSpec,
    section="models",
    role=Role(
        "models",
        "torch.nn.Module",
        bases=MODULE_BASES,
        kind=MODULE,
        holds=(METRIC,),
    ),
    held=all_of_it,
    changes=(Rule("spec.memory_format", "applied", "other kernels round differently"),),
)
