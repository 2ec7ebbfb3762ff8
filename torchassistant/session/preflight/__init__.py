"""A preflight: one batch of every pipeline, before a run that cannot end well is begun."""

from torchassistant.session.preflight.flight import preflight
from torchassistant.session.preflight.report import (
    GroupReport,
    NodeReport,
    Preflight,
    StageReport,
)

__all__ = ["GroupReport", "NodeReport", "Preflight", "StageReport", "preflight"]
