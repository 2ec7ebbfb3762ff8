"""What a preflight saw: every node as it ran, batches, parameters, warnings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torchassistant.assembly import TakenWeights
from torchassistant.errors import Problem


@dataclass(slots=True)
class NodeReport:
    """What one node did with a batch.

    Args:
        pipeline: The pipeline that it ran in.
        processor: Its batch processor.
        node: Its name.
        mode: ``train`` or ``eval``.
        inputs: Each input as ``name (shape) dtype``.
        outputs: Likewise.
        parameters: How many numbers its model has to learn or to keep.
        optimizer: The name of what trains it here, if anything does.
        is_frozen: Whether all of its parameters are frozen in this stage.
        reached: Whether a gradient reached its parameters; None where it has none, or there was no
            backward pass.
    """

    pipeline: str
    processor: str
    node: str
    mode: str
    inputs: list[str]
    outputs: list[str]
    parameters: int
    optimizer: str | None
    reached: bool | None = None
    is_frozen: bool = False


@dataclass(slots=True)
class FrozenReport:
    """What one entry of a stage freezes.

    Args:
        shown: The entry in short.
        parameters: How many numbers it keeps from learning.
        in_eval_mode: How many modules run in eval mode; None where it says nothing of that.
    """

    shown: str
    parameters: int
    in_eval_mode: int | None


@dataclass(slots=True)
class StageReport:
    """What one stage does with the models.

    Args:
        title: Its number, and its name.
        trained: The names of those that it trains.
        untrained: The names of those that run in its training, and that it does not train.
        turns: When its training pipelines run, by name; empty where each runs once an iteration.
        frozen: What it freezes, entry by entry.
        beginning: What happens when it begins, as clauses for a person.
        epoch: What an epoch is, for a person; empty where it is the longest pass.
    """

    title: str
    trained: list[str]
    untrained: list[str]
    turns: dict[str, str] = field(default_factory=dict)
    frozen: list[FrozenReport] = field(default_factory=list)
    beginning: list[str] = field(default_factory=list)
    epoch: str = ""


@dataclass(slots=True)
class GroupReport:
    """A parameter group of an optimizer.

    Args:
        name: As the optimizer has it; None where it has none.
        parameters: How many numbers are trained in it.
        options: Its learning rate and weight decay, as far as it has them.
    """

    name: str | None
    parameters: int
    options: dict[str, float]


@dataclass(slots=True)
class Preflight:
    """What a preflight saw.

    Args:
        nodes: Every node, as each pipeline ran it.
        batches: For each pipeline its batches an epoch; None where its data does not say.
        optimizers: How many parameters each trains.
        groups: The parameter groups of each.
        models: What each model is that is a part or an average of another.
        stages: What each stage does with the models.
        warnings: What is allowed, and is probably not meant.
        weights: What became of the weights that models begin with.
        shapes: Of the columns of each pipeline; see :class:`ColumnShapes`.
    """

    nodes: list[NodeReport] = field(default_factory=list)
    batches: dict[str, int | None] = field(default_factory=dict)
    optimizers: dict[str, int] = field(default_factory=dict)
    groups: dict[str, list[GroupReport]] = field(default_factory=dict)
    models: list[str] = field(default_factory=list)
    stages: list[StageReport] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    weights: list[TakenWeights] = field(default_factory=list)
    shapes: dict[str, Any] = field(default_factory=dict)
