"""What is measured."""

from __future__ import annotations

from torchassistant.config.groups.group import Group
from torchassistant.config.groups.scores import ScoreSpec
from torchassistant.config.role import CALLABLE, METRIC, MODULE, Role

TORCHMETRICS = "torchmetrics.*"


class MetricSpec(ScoreSpec):
    """A metric with ``update``, ``compute`` and ``reset``."""


METRICS = Group(
    "metrics",
    "metric",
    MetricSpec,
    section="losses and metrics",
    role=Role(
        "metrics",
        "metric (it has no update, compute and reset)",
        ("torchassistant.metrics", TORCHMETRICS),
        methods=(("update", "compute", "reset"), *CALLABLE),
        kind=METRIC,
        other_kinds=(MODULE,),
        holds=(METRIC,),
        or_itself=True,
    ),
    state="results",
    follows_arguments=True,
)
