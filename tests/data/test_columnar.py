"""Batches that are cut from columns are those that are made of examples, to the last bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import Dataset, Subset, TensorDataset

from torchassistant.collators import DefaultCollator
from torchassistant.data.columnar import columns_of
from torchassistant.data.datasets import MergedDataset, PreprocessedDataset
from torchassistant.data.loader_factory import LoaderFactory
from torchassistant.errors import DataError

DTYPES = (
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64,
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
)  # fmt: skip
COUNT = 12


def column(dtype: torch.dtype, *shape: int) -> Tensor:
    return torch.randint(0, 100, (COUNT, *shape)).to(dtype)


def assert_same(found: Any, expected: Any) -> None:
    assert type(found) is type(expected) is list
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert type(one) is type(other) is Tensor
        assert (one.dtype, one.shape, one.stride()) == (other.dtype, other.shape, other.stride())
        assert torch.equal(one, other)


shapes = st.lists(st.integers(0, 3), max_size=3)
columns = st.lists(st.tuples(st.sampled_from(DTYPES), shapes), min_size=1, max_size=4)
batches = st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=2 * COUNT)


@given(columns, batches)
def test_of_tensors(described: list[tuple[torch.dtype, list[int]]], batch: list[int]) -> None:
    dataset = TensorDataset(*(column(dtype, *shape) for dtype, shape in described))
    cut = columns_of(dataset)
    assert cut is not None
    expected = DefaultCollator()([dataset[index] for index in batch])
    assert_same(cut(torch.tensor(batch)), expected)


@given(st.lists(st.integers(0, COUNT - 1), min_size=COUNT), st.permutations(range(COUNT)), batches)
def test_of_a_slice_of_a_slice(outer: list[int], inner: Sequence[int], batch: list[int]) -> None:
    dataset = TensorDataset(column(torch.float32, 3), column(torch.int64))
    piece = Subset(Subset(dataset, list(inner)), outer)
    cut = columns_of(piece)
    assert cut is not None
    assert_same(cut(torch.tensor(batch)), DefaultCollator()([piece[index] for index in batch]))


class Derived(TensorDataset):
    """Does as it likes with an example."""

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return tuple(2 * column for column in super().__getitem__(index))


class Holder(torch.Tensor):
    """A tensor that is more than one."""


PLAIN = TensorDataset(torch.arange(4.0))


@pytest.mark.parametrize(
    "dataset",
    [
        Derived(torch.arange(4.0)),
        [1, 2, 3],
        TensorDataset(torch.arange(4.0, requires_grad=True)),
        TensorDataset(torch.randn(4, 3).t()),
        TensorDataset(torch.zeros(4, 1).expand(4, 3)),
        TensorDataset(torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last)),
        TensorDataset(torch.zeros(4, 3).to_sparse()),
        TensorDataset(torch.zeros(4, dtype=torch.complex64).conj()),
        TensorDataset(torch.arange(4.0).as_subclass(Holder)),
        Subset(PLAIN, [-1, 0]),
        Subset(PLAIN, [0, 4]),
        Subset(PLAIN, [True, False]),
        Subset(PLAIN, (0, 1)),
        Subset([1, 2, 3], [0, 1]),
        PreprocessedDataset(PLAIN, [abs], "positive"),
    ],
)
def test_what_else_there_is_gives_examples(dataset: Any) -> None:
    assert columns_of(dataset) is None


class Answering(Dataset[Any]):
    """Has its columns ready, and no example."""

    def __len__(self) -> int:
        return COUNT

    def columns_at(self, indices: list[int]) -> list[Any]:
        return [torch.tensor(indices), [str(index) for index in indices]]


@pytest.mark.parametrize("workers", [0, 2])
def test_of_what_gives_columns_itself(workers: int) -> None:
    kwargs = {"batch_size": 5, "shuffle": False, "num_workers": workers}
    loader = LoaderFactory(Subset(Answering(), [3, 1, 2]), DefaultCollator(), kwargs).for_training(
        0
    )
    loader.start(0)
    (((indices, texts), _),) = loader.batches()
    assert indices.tolist() == [3, 1, 2]
    assert texts == ["3", "1", "2"]


# In a loader


class Asked(Dataset[Any]):
    """Counts how it is asked for examples."""

    def __init__(self, tensors: TensorDataset) -> None:
        self.tensors = tensors
        self.singly = 0

    def __len__(self) -> int:
        return len(self.tensors)

    def __getitem__(self, index: int) -> Any:
        self.singly += 1
        return self.tensors[index]


class AskedAtOnce(Asked):
    """Gives several examples at once, too."""

    def __init__(self, tensors: TensorDataset) -> None:
        super().__init__(tensors)
        self.at_once: list[list[int]] = []

    def __getitems__(self, indices: list[int]) -> list[Any]:
        self.at_once.append(list(indices))
        return [self.tensors[index] for index in indices]


@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("skipped", [0, 2])
def test_a_loader_gives_the_same(workers: int, drop_last: bool, skipped: int) -> None:
    data = TensorDataset(column(torch.float32, 3), column(torch.int64))
    kwargs = {"batch_size": 5, "num_workers": workers, "drop_last": drop_last}
    found = []
    for dataset in (data, Asked(data)):
        loader = LoaderFactory(dataset, DefaultCollator(), kwargs).for_training(7)
        loader.start(3, skipped)
        found.append([batch for batch, _ in loader.batches()])
    assert len(found[0]) == len(found[1]) == 3 - drop_last - skipped
    for cut, made in zip(*found, strict=True):
        assert_same(cut, made)


def test_a_worker_that_is_no_copy_of_this_process() -> None:
    data = Subset(TensorDataset(column(torch.float32, 3)), [4, 2])
    kwargs = {"num_workers": 1, "multiprocessing_context": "spawn", "batch_size": 2}
    loader = LoaderFactory(data, DefaultCollator(), kwargs).for_evaluation(0)
    loader.start(0)
    (((batch,), _),) = loader.batches()
    assert torch.equal(batch, torch.stack([data[0][0], data[1][0]]))


def test_a_collator_of_the_user_gets_examples() -> None:
    loader = LoaderFactory(PLAIN, list, {"batch_size": 2, "shuffle": False}).for_training(0)
    loader.start(0)
    assert list(loader.batches())[1][0] == [(torch.tensor(2.0),), (torch.tensor(3.0),)]


def test_a_sampler_may_draw_what_is_no_index() -> None:
    kwargs = {"batch_size": 2, "sampler": [-1, slice(0, 1), slice(1, 2), 2]}
    loader = LoaderFactory(PLAIN, list, kwargs).for_training(0)
    default = LoaderFactory(PLAIN, DefaultCollator(), {"batch_size": 1, "sampler": [-1]})
    for one in (loader, last := default.for_training(0)):
        one.start(0)
    assert [len(batch) for batch, _ in loader.batches()] == [2, 2]
    assert [column.tolist() for (column,), _ in last.batches()] == [[3.0]]


# Datasets around others


def shown(examples: Any) -> list[Any]:
    return [tuple(column.tolist() for column in example) for example in examples]


def doubled(value: Any) -> Any:
    return 2 * value


def test_datasets_around_others_hand_it_down() -> None:
    some, more = (AskedAtOnce(TensorDataset(column(torch.int64))) for _ in range(2))
    plain = Asked(TensorDataset(column(torch.int64)))
    merged = MergedDataset([some, plain, Subset(more, list(range(COUNT))[::-1])])
    dataset = PreprocessedDataset(merged, [doubled], "doubled")
    batch = [0, 2 * COUNT + 1, COUNT + 2, 3, -1]
    expected = shown(dataset[index] for index in batch)
    some.singly = more.singly = plain.singly = 0
    assert shown(dataset.__getitems__(batch)) == expected
    assert (some.at_once, more.at_once) == ([[0, 3]], [[COUNT - 2, 0]])
    assert (some.singly, more.singly, plain.singly) == (0, 0, 1)


class Drawing(Dataset[Any]):
    """Draws a number for each example."""

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> Tensor:
        return torch.rand(())


def with_noise(value: Tensor) -> Tensor:
    return value + torch.rand(())


def test_random_numbers_are_drawn_example_by_example() -> None:
    """As in a loop over examples, where nothing below gives several at once."""
    inner = MergedDataset([Drawing(), Subset(Drawing(), [1, 2])])
    dataset = PreprocessedDataset(inner, [with_noise], "noisy")
    batch = [0, COUNT, 1]
    torch.manual_seed(1)
    expected = shown(dataset[index] for index in batch)
    torch.manual_seed(1)
    assert shown(dataset.__getitems__(batch)) == expected


def test_too_few_examples_at_once_are_told() -> None:
    class Short(AskedAtOnce):
        def __getitems__(self, indices: list[int]) -> list[Any]:
            return super().__getitems__(indices)[:-1]

    merged = MergedDataset([Short(PLAIN)])
    with pytest.raises(DataError, match="3 examples were asked of a merged dataset at once; it"):
        merged.__getitems__([0, 1, 2])
