"""What a preflight saw, and what an evaluation gave, for a person or for a program."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from torchassistant.assembly import TakenWeights
from torchassistant.cli.layout import aligned, counted
from torchassistant.errors import in_one_line
from torchassistant.output_devices import jsonable
from torchassistant.session import GroupReport, Prediction, Preflight

_HEADER = ("pipeline", "node", "mode", "inputs", "outputs", "parameters", "optimizer", "gradient")


def preflight_lines(report: Preflight) -> Iterator[str]:
    """The lines of the table: nodes, then pipelines, optimizers and stages."""
    rows: list[Sequence[str]] = [_HEADER]
    for node in report.nodes:
        reached = {True: "yes", False: "no", None: ""}[node.reached]
        optimizer = "" if node.reached is None else node.optimizer or "none"
        rows.append(
            (
                node.pipeline,
                f"{node.processor}.{node.node}",
                node.mode,
                ", ".join(node.inputs),
                ", ".join(node.outputs),
                f"{node.parameters:,}",
                "frozen" if node.is_frozen else optimizer,
                reached,
            )
        )
    yield from aligned(rows)
    yield ""
    for name, batches in report.batches.items():
        count = "an unknown number of batches" if batches is None else counted(batches, "batch")
        yield f"pipeline {in_one_line(name)}: {count} an epoch"
    yield from weight_lines(report.weights)
    for text in report.models:
        yield in_one_line(f"model {text}")
    for name, parameters in report.optimizers.items():
        groups = report.groups.get(name, [])
        is_plain = len(groups) == 1 and groups[0].name is None
        said = _said_of(groups[0]) if is_plain else counted(parameters, "parameter")
        yield f"optimizer {in_one_line(name)}: {said}"
        yield from () if is_plain else _groups(groups)
    for stage in report.stages:
        if stage.epoch:
            yield in_one_line(f"{stage.title}: an epoch is {stage.epoch}")
        for name, turn in stage.turns.items():
            yield in_one_line(f"{stage.title}: runs {name}: {turn}")
        for clause in stage.beginning:
            yield in_one_line(f"{stage.title}: {clause}")
        runs = f"; runs {', '.join(stage.untrained)} untrained" if stage.untrained else ""
        yield in_one_line(f"{stage.title}: trains {', '.join(stage.trained)}{runs}")
        for frozen in stage.frozen:
            mode = ""
            if frozen.in_eval_mode is not None:
                mode = f", {counted(frozen.in_eval_mode, 'module')} in eval mode"
            count = counted(frozen.parameters, "parameter")
            yield in_one_line(f"{stage.title}: freezes {frozen.shown} ({count}{mode})")


def weight_lines(weights: Iterable[TakenWeights]) -> Iterator[str]:
    """What became of the weights that models begin with."""
    for taken in weights:
        yield from map(in_one_line, taken.lines())


def _groups(groups: Sequence[GroupReport]) -> Iterator[str]:
    for number, group in enumerate(groups):
        yield in_one_line(f"  group {group.name or number}: {_said_of(group)}")


def _said_of(group: GroupReport) -> str:
    """How many parameters a group has, and its options, as ``8 parameters, lr 0.1``."""
    said = [counted(group.parameters, "parameter")]
    return ", ".join([*said, *(f"{key} {value:g}" for key, value in group.options.items())])


def result_in_short(value: Any) -> str:
    """A result of an evaluation in a line: a number, or the shape of a tensor, or of several."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return f"[{', '.join(map(result_in_short, value))}]"
    return f"tensor {tuple(value.shape)}"


def prediction_as_data(prediction: Prediction) -> dict[str, Any]:
    """A prediction as data for JSON.

    Raises:
        DataError: It holds what JSON cannot.
    """
    result = jsonable(prediction.result, "the prediction")
    index = jsonable(prediction.index, "the index")
    return {"input": prediction.input, "index": index, "result": result, "error": None}


def result_as_data(value: Any) -> Any:
    """The same as data for JSON: what is not finite is null, a tensor is lists of numbers."""
    if isinstance(value, list):
        return [result_as_data(part) for part in value]
    if isinstance(value, (bool, int, float)):
        return value if math.isfinite(value) else None
    return result_as_data(value.tolist())
