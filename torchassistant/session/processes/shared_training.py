"""A session that several processes train: which world they make, and with how many threads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from torchassistant.assembly import Parts
from torchassistant.collators import DefaultCollator
from torchassistant.config import DistributedSpec, Spec
from torchassistant.messages import logger_for
from torchassistant.parallel import PartStates, Processes, World
from torchassistant.session.state.stateful_parts import of_results, of_training
from torchassistant.training import Stage

_log = logger_for(__name__)


def world_of(spec: Spec, processes: Processes | None, device: torch.device) -> World | None:
    """Who trains a session together, and into how many parts they cut each batch.

    Args:
        spec: Its config.
        processes: The processes; None: this one alone.
        device: That of this process.

    Returns:
        None for one process, where the config says nothing of several.

    Raises:
        ConfigError: So many processes cannot share so many parts.
    """
    processes = processes or Processes()
    processes.device = device
    if spec.distributed is None and processes.size == 1:
        return None
    distributed = spec.distributed or DistributedSpec()
    processes.count_as_lost_after(distributed.timeout)
    return World(
        processes,
        distributed.logical_ranks,
        distributed.shares_models,
        distributed.sync_batch_norm,
    )


def warn_of_other_parts(
    stages: Iterable[Stage], world: World, spec: Spec, environment: Mapping[str, Any]
) -> None:
    """Say on resuming with other processes what has other results in other parts of a batch.

    Args:
        stages: Those of the session.
        world: The processes.
        spec: The config.
        environment: Under what the state was saved.
    """
    then, now = environment.get("processes"), world.processes.size
    fixed = spec.distributed is not None and spec.distributed.logical_ranks is not None
    if then in (None, now) or fixed or not world.is_first:
        return
    synced = spec.distributed is not None and spec.distributed.sync_batch_norm
    found = sorted({name for stage in stages for name in seen_by_parts(stage, synced)})
    but = f", but for what is random or sees a whole part: {', '.join(found)}" if found else ""
    _log.warning(
        f"it was trained by {then} process{'es' if then != 1 else ''}, and is by {now} now: "
        f"examples and their order are the same, and results up to rounding{but}"
    )


def seen_by_parts(stage: Stage, synced: bool = False) -> Iterator[str]:
    """What of a stage draws random numbers, or looks at all examples of a part, by its class.

    Args:
        stage: Which one.
        synced: Whether batch norm looks at the whole batch.
    """
    for pipeline in stage.training:
        for layer in (layer for module in pipeline.modules for layer in module.modules()):
            draws = getattr(layer, "dropout", 0.0)
            is_random = isinstance(layer, _RANDOM) or (isinstance(draws, float) and draws > 0)
            if is_random or (isinstance(layer, _OF_PARTS) and not synced):
                yield type(layer).__name__
        for source in pipeline.inputs:
            yield from (type(augment.transform).__name__ for augment in source.factory.augments)
            if not isinstance(source.factory.collator, DefaultCollator):
                yield type(source.factory.collator).__name__


_RANDOM = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.RReLU)
_OF_PARTS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def part_states(
    parts: Parts, world: World, stored: Mapping[str, Sequence[Any]]
) -> PartStates | None:
    """What objects keep for each part of a batch; None where nothing keeps anything.

    Buffers of modules are brought together after each step instead.

    Args:
        parts: Those of the session.
        world: The processes.
        stored: What they have kept so far.
    """
    if world.parts == 1:
        return None
    run: set[int] = set()
    for pipeline in {p.name: p for stage in parts.stages for p in stage.training}.values():
        run |= {id(part) for p in pipeline.graph.processors.values() for part in p.parts}
        for item in pipeline.losses:
            run |= {id(item.loss.function), id(item.loss.transform)}
        if pipeline.train_step is not None:
            run.add(id(pipeline.train_step.function))
    kept = {
        key: item
        for key, item in (of_results(parts) | of_training(parts)).items()
        if id(item) in run and not isinstance(item, nn.Module)
    }
    return PartStates(kept, world.processes, world.own, stored) if kept else None


def set_threads(world: World, spec: Spec, environment: Mapping[str, Any]) -> None:
    """Give every process as many threads as the session was trained with, whatever a launcher says.

    Where it was not trained yet, the cores are divided, unless ``OMP_NUM_THREADS`` says otherwise.

    Args:
        world: The processes.
        spec: The config.
        environment: Under what its state was saved.
    """
    if "processes" in environment:
        threads = environment["threads"]
    elif "OMP_NUM_THREADS" in os.environ:
        threads = torch.get_num_threads()
    else:
        parts = (spec.distributed or DistributedSpec()).logical_ranks or world.processes.size
        threads = max(1, len(os.sched_getaffinity(0)) // parts)
    torch.set_num_threads(world.processes.first(threads))
