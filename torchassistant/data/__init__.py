"""Datasets, splits, loaders, and the randomness of data."""

from torchassistant.data.augment import Augment
from torchassistant.data.cached_dataset import CachedDataset
from torchassistant.data.datasets import MergedDataset, PreprocessedDataset, as_columns
from torchassistant.data.loaders import LoaderFactory
from torchassistant.data.multi_loader import MultiLoader, Port
from torchassistant.data.splits import Split, split_indices

__all__ = [
    "Augment",
    "CachedDataset",
    "LoaderFactory",
    "MergedDataset",
    "MultiLoader",
    "Port",
    "PreprocessedDataset",
    "Split",
    "as_columns",
    "split_indices",
]
