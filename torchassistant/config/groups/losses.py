"""What is minimised."""

from __future__ import annotations

from torchassistant.config.groups.group import Group
from torchassistant.config.groups.scores import ScoreSpec
from torchassistant.config.role import CALLABLE, METRIC, MODULE, Role


class LossSpec(ScoreSpec):
    """A loss: a callable from tensors to a scalar tensor."""


LOSSES = Group(
    "losses",
    "loss",
    LossSpec,
    section="losses and metrics",
    role=Role(
        "losses",
        "loss (it cannot be called)",
        ("torch.nn", "torchassistant.losses"),
        methods=CALLABLE,
        kind=MODULE,
        other_kinds=(METRIC,),
        holds=(METRIC,),
        or_itself=True,
    ),
    state="results",
    held=lambda spec: ("",) if spec.transform is None else ("", "transform"),
    follows_arguments=True,
)
