"""Datasets, splits, loaders, and the randomness of data."""

from torchassistant.data.augment import Augment
from torchassistant.data.batch_errors import Origin, failure_of_fit
from torchassistant.data.cache.cache_folder import cache_folder
from torchassistant.data.cache.disk_cache import DiskStore
from torchassistant.data.cache.memory_cache import MemoryStore
from torchassistant.data.cache.values import Unstorable, encode
from torchassistant.data.cached_dataset import CachedDataset, uncached
from torchassistant.data.child_processes import (
    STOPPING,
    disregard_stop_signals,
    end_with_parent,
    is_first_thread,
    signals_held_back,
)
from torchassistant.data.cut import Cut
from torchassistant.data.cut_multi_loader import CutMultiLoader
from torchassistant.data.dataset_files import walking
from torchassistant.data.datasets import MergedDataset, PreprocessedDataset, as_columns, laid_around
from torchassistant.data.epoch_loader import EpochLoader
from torchassistant.data.evaluation_loader import EvaluationLoader
from torchassistant.data.example_column import column_codes
from torchassistant.data.folds import Labels, fold_indices, labelled_slices
from torchassistant.data.gpu_prefetch import prefetched
from torchassistant.data.loader_factory import LoaderFactory
from torchassistant.data.multi_loader import FramesOfEpoch, MultiLoader, named
from torchassistant.data.object_rngs import (
    IncompatibleState,
    expect_states_of,
    generators_in,
    has_state,
    object_rngs_seeded,
    seed_all,
    set_state_of,
    set_states_of,
    state_of,
    states_of,
)
from torchassistant.data.object_walk import CODE, GENERATORS, LEAVES, Generator, inside, slots_of
from torchassistant.data.pass_order import has_order, order_of_pass
from torchassistant.data.port import Port
from torchassistant.data.repeating_loader import RepeatingCutLoader, RepeatingLoader
from torchassistant.data.restarting_port import is_port_state
from torchassistant.data.rng import (
    derived,
    expect_random_state,
    random_state,
    same_state,
    seed_everything,
    seeded,
    set_random_state,
)
from torchassistant.data.sampler_state import is_sampler_state
from torchassistant.data.splits import Split, split_indices
from torchassistant.data.turns import TurnOf
from torchassistant.data.workers import can_be_interrupted, interruptible

__all__ = [
    "CODE",
    "GENERATORS",
    "LEAVES",
    "STOPPING",
    "Augment",
    "CachedDataset",
    "Cut",
    "CutMultiLoader",
    "DiskStore",
    "EpochLoader",
    "EvaluationLoader",
    "FramesOfEpoch",
    "Generator",
    "IncompatibleState",
    "Labels",
    "LoaderFactory",
    "MemoryStore",
    "MergedDataset",
    "MultiLoader",
    "Origin",
    "Port",
    "PreprocessedDataset",
    "RepeatingCutLoader",
    "RepeatingLoader",
    "Split",
    "TurnOf",
    "Unstorable",
    "as_columns",
    "cache_folder",
    "can_be_interrupted",
    "column_codes",
    "derived",
    "disregard_stop_signals",
    "encode",
    "end_with_parent",
    "expect_random_state",
    "expect_states_of",
    "failure_of_fit",
    "fold_indices",
    "generators_in",
    "has_order",
    "has_state",
    "inside",
    "interruptible",
    "is_first_thread",
    "is_port_state",
    "is_sampler_state",
    "labelled_slices",
    "laid_around",
    "named",
    "object_rngs_seeded",
    "order_of_pass",
    "prefetched",
    "random_state",
    "same_state",
    "seed_all",
    "seed_everything",
    "seeded",
    "set_random_state",
    "set_state_of",
    "set_states_of",
    "signals_held_back",
    "slots_of",
    "split_indices",
    "state_of",
    "states_of",
    "uncached",
    "walking",
]
