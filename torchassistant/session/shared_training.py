"""A session that several processes train: which world they make, and with how many threads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch

from torchassistant.config import DistributedSpec, Spec
from torchassistant.parallel import Processes, World


def world_of(spec: Spec, processes: Processes | None) -> World | None:
    """Who trains a session together, and into how many parts they cut each batch.

    Args:
        spec: Its config.
        processes: The processes; None: this one alone.

    Returns:
        None for one process, where the config says nothing of several.

    Raises:
        ConfigError: So many processes cannot share so many parts.
    """
    processes = processes or Processes()
    if spec.distributed is None and processes.size == 1:
        return None
    distributed = spec.distributed or DistributedSpec()
    return World(processes, distributed.logical_ranks)


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
