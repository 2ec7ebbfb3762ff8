"""How long the epochs of a stage are, and how many steps an optimizer makes in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch.optim import Optimizer

from torchassistant.graph import is_among
from torchassistant.training.pipeline import Pipeline
from torchassistant.training.stage import Stage
from torchassistant.training.turns import LONGEST, SHORTEST


def governing(stage: Stage) -> Sequence[int]:
    """The indices of the training pipelines whose passes say when an epoch ends.

    Those that restart go on for ever, and so they are asked only where all do.
    """
    if isinstance(stage.epoch_length, int):
        return []
    if stage.epoch_length not in (LONGEST, SHORTEST):
        return [[pipeline.name for pipeline in stage.training].index(stage.epoch_length)]
    waiting = [index for index, turn in enumerate(stage.all_turns) if not turn.restarts]
    return waiting or range(len(stage.training))


def iterations_of_epoch(stage: Stage, steps: Mapping[str, int | None], begun: int) -> int | None:
    """How many iterations an epoch has; None where nobody knows.

    Args:
        stage: The stage.
        steps: How many steps one pass of each training pipeline has; None where nobody knows.
        begun: Iterations of the stage that are done before the epoch.
    """
    if isinstance(stage.epoch_length, int):
        return stage.epoch_length
    names, turns = [pipeline.name for pipeline in stage.training], stage.all_turns
    counts = []
    for index in governing(stage):
        count = steps[names[index]]
        if count is None:
            return None
        counts.append(turns[index].iterations_for(count, begun) if count else 0)
    return min(counts) if stage.epoch_length == SHORTEST else max(counts)


def steps_of_pass(pipeline: Pipeline) -> int | None:
    """How many steps one pass over its training data has; None where nobody knows."""
    batches = pipeline.training_data().length()
    return None if batches is None else -(-batches // pipeline.accumulated)


def steps_of_optimizer(stage: Stage, optimizer: Optimizer) -> int | None:
    """How many steps an optimizer makes in a whole stage; None where that cannot be known.

    Args:
        stage: The stage; how many epochs it has follows from its stop condition.
        optimizer: Its steps are those of all training pipelines that it steps in.
    """
    if stage.num_epochs is None:
        return None
    lengths = {pipeline.name: steps_of_pass(pipeline) for pipeline in stage.training}
    goes_on = isinstance(stage.epoch_length, int)
    done = dict.fromkeys(lengths, 0)
    begun = 0
    for _ in range(stage.num_epochs):
        iterations = iterations_of_epoch(stage, lengths, begun)
        if iterations is None:
            return None
        for name, turn in zip(lengths, stage.all_turns, strict=True):
            made, limit = turn.steps_in(iterations, begun), lengths[name]
            if not turn.restarts:
                if limit is None:
                    return None
                made = min(made, limit - done[name] if goes_on else limit)
            done[name] += made
        begun += iterations
    stepped = [p.name for p in stage.training if is_among(optimizer, p.optimizers)]
    return sum(done[name] for name in stepped)
