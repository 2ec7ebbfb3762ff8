"""Datasets, splits, loaders, and the randomness of data."""

from torchassistant.data.augment import Augment
from torchassistant.data.cached import CachedDataset
from torchassistant.data.datasets import MergedDataset, PreprocessedDataset, as_columns
from torchassistant.data.injector import Injector, Port
from torchassistant.data.loaders import LoaderFactory
from torchassistant.data.splits import Split, split_indices

__all__ = [
    "Augment",
    "CachedDataset",
    "Injector",
    "LoaderFactory",
    "MergedDataset",
    "Port",
    "PreprocessedDataset",
    "Split",
    "as_columns",
    "split_indices",
]
