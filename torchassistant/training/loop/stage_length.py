"""How long the epochs of a stage are, and how many steps an optimizer makes in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

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
        return [leader_of(stage, stage.epoch_length)]
    leaders = dict.fromkeys(leader_of(stage, pipeline.name) for pipeline in stage.training)
    waiting = [index for index in leaders if not stage.all_turns[index].restarts]
    return waiting or list(leaders)


def leader_of(stage: Stage, name: str) -> int:
    """The index of a training pipeline; of one that only its sources end, that of the first."""
    names = [pipeline.name for pipeline in stage.training]
    pipeline = stage.training[names.index(name)]
    if pipeline.ends_by_itself or not pipeline.links:
        return names.index(name)
    return leader_of(stage, pipeline.links[0].pipeline)


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
        # One that is fed by another too sits out where that one does.
        if count is None or stage.training[index].links:
            return None
        counts.append(turns[index].iterations_for(count, begun) if count else 0)
    return min(counts) if stage.epoch_length == SHORTEST else max(counts)


def iterations_of_stage(stage: Stage) -> int | None:
    """How many iterations a whole stage has at most; None where that cannot be known."""
    if stage.num_epochs is None:
        return None
    ends = list(ends_of_epochs(stage))
    return (ends[-1] if ends else 0) if len(ends) == stage.num_epochs else None


def ends_of_epochs(stage: Stage) -> Iterator[int]:
    """The iterations of a stage that are done at the end of each epoch, as far as that is known."""
    lengths = {pipeline.name: steps_of_pass(pipeline) for pipeline in stage.training}
    begun = 0
    for _ in range(stage.num_epochs or 0):
        iterations = iterations_of_epoch(stage, lengths, begun)
        if iterations is None:
            return
        begun += iterations
        yield begun


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
    done, unknown = dict.fromkeys(lengths, 0), set[str]()
    begun = 0
    for _ in range(stage.num_epochs):
        iterations = iterations_of_epoch(stage, lengths, begun)
        if iterations is None:
            return None
        made: dict[str, int | None] = {}
        for index, (name, limit) in enumerate(lengths.items()):
            left = limit - done[name] if goes_on and limit is not None else limit
            steps = _steps_of_epoch(stage, index, left, made, iterations, begun)
            made[name] = steps
            done[name] += steps or 0
            unknown |= {name} if steps is None else set()
        begun += iterations
    stepped = [p.name for p in stage.training if is_among(optimizer, p.optimizers)]
    return None if unknown.intersection(stepped) else sum(done[name] for name in stepped)


def _steps_of_epoch(
    stage: Stage,
    index: int,
    left: int | None,
    made: Mapping[str, int | None],
    iterations: int,
    begun: int,
) -> int | None:
    """How many steps a training pipeline makes in an epoch; None where that cannot be known."""
    pipeline, turn = stage.training[index], stage.all_turns[index]
    if pipeline.links:
        leader = leader_of(stage, pipeline.name)
        source = stage.all_turns[leader]
        steps = made[stage.training[leader].name]
        are_alike = (source.every, source.first, source.by_epoch) == (
            turn.every,
            turn.first,
            turn.by_epoch,
        )
        if pipeline.ends_by_itself or not are_alike or steps is None:
            return None
        return -(-steps // source.repeat) * turn.repeat
    steps = turn.steps_in(iterations, begun)
    if turn.restarts:
        return steps
    return None if left is None else min(steps, left)
