"""Several processes that train together; the face of this folder."""

from __future__ import annotations

from torchassistant.parallel.launched import Launched, launched
from torchassistant.parallel.part_states import PartStates
from torchassistant.parallel.processes import Processes, connected, place_to_meet
from torchassistant.parallel.sharding import alone, is_shared, own_rows, shard, shared_like
from torchassistant.parallel.tree import Summands, Tree
from torchassistant.parallel.world import Shared, World

__all__ = [
    "Launched",
    "PartStates",
    "Processes",
    "Shared",
    "Summands",
    "Tree",
    "World",
    "alone",
    "connected",
    "is_shared",
    "launched",
    "own_rows",
    "place_to_meet",
    "shard",
    "shared_like",
]
