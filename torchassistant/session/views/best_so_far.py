"""Which values of a session are shown as the best so far."""

from __future__ import annotations

from torchassistant.assembly import Parts
from torchassistant.config import Spec
from torchassistant.session.history.history import History
from torchassistant.training import BestValues, Mode


def best_so_far(parts: Parts, spec: Spec, history: History) -> BestValues:
    """The best of what the config monitors, or else of validation losses.

    Args:
        parts: The session.
        spec: Its config.
        history: Its rows.
    """
    modes: dict[str, Mode] = {best.monitor: best.mode or "min" for best in spec.checkpoints.bests}
    for stage in parts.stages if not modes else ():
        for (name, shown), column in stage.columns.items():
            losses = [p.evaluated_losses for p in stage.validation if p.name == name]
            modes |= {column: "min"} if losses and shown in losses[0] else {}
    rows = (row for index in range(len(parts.stages)) for row in history.rows(index))
    return BestValues(modes, rows)
