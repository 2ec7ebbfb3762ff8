"""Whether less or more of what a metric gives is better, where its class says that."""

from __future__ import annotations

from typing import Any, Literal

from torchassistant.errors import DataError
from torchassistant.training.losses.metric_values import metrics_by_key

Mode = Literal["min", "max"]


def better_of(metric: Any, key: str) -> Mode | None:
    """What is better of a value of a metric; None where the metric says nothing about it.

    A metric says it as ``better``, ``"min"`` or ``"max"``; those of torchmetrics do as
    ``higher_is_better``.

    Args:
        metric: The object, or the function.
        key: Of the value; of a collection of metrics each has its own.

    Raises:
        DataError: Its ``better`` is something else.
    """
    inner = metrics_by_key(metric)
    metric = inner.get(key, inner.get(key.rpartition("/")[0], metric))
    mode = getattr(metric, "better", None)
    if mode is not None:
        if not isinstance(mode, str) or mode not in ("min", "max"):
            raise DataError(f'its "better" must be "min" or "max"; found {mode!r}')
        return "min" if mode == "min" else "max"
    higher = getattr(metric, "higher_is_better", None)
    if type(higher) is not bool:
        return None
    return "max" if higher is True else "min"
