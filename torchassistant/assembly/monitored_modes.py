"""Whether less or more is better of what is monitored, as the metric behind it says."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from torch.optim.lr_scheduler import ReduceLROnPlateau

from torchassistant.assembly.build_context import BuildContext
from torchassistant.config import LR_SCHEDULER, ObjectSpec, Path, SchedulerSpec
from torchassistant.stop_conditions import AllOf, AnyOf
from torchassistant.training import WHOLE, Mode, better_of


def mode_of(context: BuildContext, monitor: str, pipelines: Iterable[str]) -> Mode | None:
    """What the metric behind a column says is better.

    Args:
        context: Has built the metrics.
        monitor: The column.
        pipelines: The names of those whose metrics it may be.

    Returns:
        None where it is none of a metric, or metrics say nothing or not the same.
    """
    found = set()
    for name in pipelines:
        for item in context.spec.initialize.pipelines[name].metrics:
            metric = context.parts.metrics[item.metric_name].function
            for shown in (item.shown_as, f"{name} {item.shown_as}"):
                if monitor == shown:
                    found.add(better_of(metric, WHOLE))
                elif monitor.startswith(f"{shown}/"):
                    found.add(better_of(metric, monitor.removeprefix(f"{shown}/")))
    return found.pop() if len(found) == 1 else None


def set_mode_of_condition(context: BuildContext, condition: Any, pipelines: Iterable[str]) -> None:
    """Give a stop condition a mode whose ``mode`` is None, and those that are in it.

    Args:
        context: Has built the metrics.
        condition: The stop condition.
        pipelines: The names of those of its stage.
    """
    if isinstance(condition, AnyOf | AllOf):
        for one in condition.conditions:
            set_mode_of_condition(context, one, pipelines)
        return
    monitor = getattr(condition, "monitor", None)
    if isinstance(monitor, str) and getattr(condition, "mode", "") is None:
        mode = mode_of(context, monitor, pipelines)
        if mode is not None:
            condition.mode = mode


def set_modes_of_best(context: BuildContext) -> None:
    """Write down by what the best checkpoints are chosen, where the config leaves that out."""
    for best in context.spec.checkpoints.bests:
        if best.mode is None:
            best.mode = mode_of(context, best.monitor, context.spec.initialize.pipelines) or "min"


def may_need_mode(spec: SchedulerSpec) -> bool:
    """Whether a scheduler may get its mode from the metric that it monitors."""
    return spec.monitor is not None and spec.class_ is not None and "mode" not in spec.kwargs


def with_mode(context: BuildContext, spec: ObjectSpec, path: Path, monitor: str) -> ObjectSpec:
    """A scheduler's description, with the mode of what it monitors where it leaves that out.

    So it is with schedulers that stand among its arguments.

    Raises:
        ConfigError: There is no such scheduler.
    """
    mode = mode_of(context, monitor, context.spec.initialize.pipelines)
    if mode is None:
        return spec

    def filled(value: Any, path: Path) -> Any:
        if isinstance(value, list):
            return [filled(one, (*path, index)) for index, one in enumerate(value)]
        if not isinstance(value, dict):
            return value
        found = {key: filled(one, (*path, key)) for key, one in value.items()}
        if _lacks_mode(context, found, path):
            found["kwargs"] = {**found.get("kwargs", {}), "mode": mode}
        return found

    given = {"class": spec.class_, "args": spec.args, "kwargs": spec.kwargs}
    found = filled(given, path)
    return spec.model_copy(update={"args": found["args"], "kwargs": found["kwargs"]})


def _lacks_mode(context: BuildContext, value: Mapping[str, Any], path: Path) -> bool:
    """Whether a value describes a plateau scheduler that is not told what is better."""
    name = value.get("class")
    if not isinstance(name, str) or "mode" in value.get("kwargs", {}):
        return False
    target = context.maker.find(name, (*path, "class"), LR_SCHEDULER.name)
    if not (inspect.isclass(target) and issubclass(target, ReduceLROnPlateau)):
        return False
    # The optimizer comes first, and is not in the config.
    places = list(inspect.signature(target).parameters)[1:]
    return "mode" in places[len(value.get("args", [])) :]
