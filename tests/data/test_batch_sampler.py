"""Which examples stand in which batch: the same from any batch on, and in another process."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from torchassistant.codec import decode, encode
from torchassistant.collators import DefaultCollator
from torchassistant.data.batch_sampler import (
    Batch,
    ContiguousBatchSampler,
    CustomBatchSampler,
    ResumableBatchSampler,
)
from torchassistant.data.epoch_loader import EpochLoader
from torchassistant.data.loader_factory import LoaderFactory
from torchassistant.data.rng import derived, random_state
from torchassistant.data.sampler_state import SamplerState
from torchassistant.data.splits import split_indices
from torchassistant.errors import DataError

counts = st.integers(1, 60)
sizes = st.integers(1, 12)
seeds = st.one_of(st.none(), st.integers(0, 2**63 - 1))
epochs = st.integers(0, 1000)


class Indices(Dataset[int]):
    """Examples that are their own index."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> int:
        return index


# The order of our own


@given(counts, sizes, st.booleans(), seeds, epochs, st.data())
def test_any_batch_may_be_the_first(
    count: int, size: int, drop_last: bool, seed: int | None, epoch: int, data: st.DataObject
) -> None:
    order = ResumableBatchSampler(count, size, drop_last, seed)
    order.start(epoch, 0)
    whole = list(order)
    assert len(whole) == len(order)
    assert [(batch.epoch, batch.number) for batch in whole] == [
        (epoch, number) for number in range(len(whole))
    ]
    position = data.draw(st.integers(0, len(whole)))
    again = ResumableBatchSampler(count, size, drop_last, seed)
    again.start(epoch, position)
    rest = list(again)
    assert rest == whole[position:]
    assert [batch.number for batch in rest] == list(range(position, len(whole)))


@given(counts, sizes, st.booleans(), seeds, epochs)
def test_it_is_what_torch_makes_of_the_permutation(
    count: int, size: int, drop_last: bool, seed: int | None, epoch: int
) -> None:
    order = ResumableBatchSampler(count, size, drop_last, seed)
    order.start(epoch, 0)
    indices = [index for batch in order for index in batch]
    if not drop_last:
        assert sorted(indices) == list(range(count))
    if seed is None:
        permutation = list(range(count))
    else:
        generator = torch.Generator().manual_seed(derived(seed, "order", epoch))
        permutation = torch.randperm(count, generator=generator).tolist()
    sampler = BatchSampler(permutation, size, drop_last)
    loader = DataLoader(Indices(count), batch_sampler=sampler, generator=torch.Generator())
    ours = DataLoader(Indices(count), batch_sampler=order, generator=torch.Generator())
    assert [batch.tolist() for batch in ours] == [batch.tolist() for batch in loader]


def test_every_epoch_and_every_seed_has_its_own() -> None:
    found = set()
    for seed in range(5):
        order = ResumableBatchSampler(30, 30, False, seed)
        for epoch in range(5):
            order.start(epoch, 0)
            (batch,) = order
            found.add(tuple(batch))
    assert len(found) == 25


def test_the_order_of_one_epoch_does_not_depend_on_another() -> None:
    order, other = ResumableBatchSampler(20, 4, False, 3), ResumableBatchSampler(20, 4, False, 3)
    for epoch in range(4):
        order.start(epoch, 0)
        last = list(order)
    other.start(3, 0)
    assert list(other) == last


@given(st.lists(st.integers()), epochs, st.integers(0, 10**6))
def test_a_batch_crosses_to_a_worker(indices: list[int], epoch: int, number: int) -> None:
    """As the queue of a worker sends it: through ``__reduce__``."""
    made, arguments = Batch(indices, epoch, number).__reduce__()
    again = made(*arguments)
    assert (list(again), again.epoch, again.number) == (indices, epoch, number)


def factory(count: int, **kwargs: Any) -> LoaderFactory:
    return LoaderFactory(Indices(count), DefaultCollator(), kwargs)


def flat(batch: Any) -> list[int]:
    column = batch[0] if isinstance(batch, (tuple, list)) else batch
    return column.reshape(-1).tolist()


def batches(loader: EpochLoader) -> Iterator[list[int]]:
    return (flat(batch) for batch, _ in loader.batches())


@given(counts, sizes, st.booleans(), st.booleans(), st.integers(0, 2**40), st.data())
def test_a_loader_goes_on_from_any_batch(
    count: int, size: int, drop_last: bool, shuffle: bool, seed: int, data: st.DataObject
) -> None:
    kwargs = {"batch_size": size, "drop_last": drop_last, "shuffle": shuffle}
    whole = factory(count, **kwargs).for_training(seed)
    whole.start(2)
    expected = list(batches(whole))
    assert len(whole) == len(expected)
    position = data.draw(st.integers(0, len(expected)))
    loader = factory(count, **kwargs).for_training(seed)
    loader.start(2, position)
    assert list(batches(loader)) == expected[position:]


def test_evaluation_keeps_the_order_of_the_dataset() -> None:
    sampler = RandomSampler(Indices(10))
    loader = factory(10, batch_size=3, sampler=sampler, drop_last=False).for_evaluation(5)
    loader.start(4)
    assert list(batches(loader)) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]


def test_without_its_batch_sampler_evaluation_reads_one_by_one() -> None:
    chosen = BatchSampler(RandomSampler(Indices(4)), 2, drop_last=False)
    loader = factory(4, batch_sampler=chosen).for_evaluation(5)
    loader.start(0)
    assert list(batches(loader)) == [[0], [1], [2], [3]]
    with pytest.raises(ValueError, match="mutually exclusive"):
        factory(4, batch_sampler=chosen, batch_size=2).check()


def test_the_examples_of_a_batch_are_known() -> None:
    loader = factory(10, batch_size=3).for_training(5)
    loader.start(1)
    met = list(batches(loader))
    for number, indices in enumerate(met):
        assert loader.examples_of(number) == indices
    assert loader.examples_of(len(met)) is None


# Samplers of the user

COUNT = 11


class Passes(Sampler[int]):
    """Counts its passes; each begins one further on."""

    def __init__(self) -> None:
        self.passes = 0

    def __len__(self) -> int:
        return COUNT

    def __iter__(self) -> Iterator[int]:
        self.passes += 1
        return (5 * index + self.passes for index in range(COUNT)).__iter__()


class Told(Sampler[int]):
    """Is told the epoch, as samplers of distributed training are."""

    def __init__(self) -> None:
        self.epoch = -1

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return COUNT

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.epoch)
        yield from torch.randperm(COUNT, generator=generator).tolist()


class Stateful(Sampler[int]):
    """Says itself what it keeps: the indices that it gave last."""

    def __init__(self) -> None:
        self.kept = list(range(COUNT))

    def __len__(self) -> int:
        return COUNT

    def __iter__(self) -> Iterator[int]:
        self.kept = [self.kept[3 * index % COUNT] for index in range(COUNT)]
        yield from self.kept

    def state_dict(self) -> dict[str, Any]:
        return {"kept": list(self.kept)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.kept = list(state["kept"])


class Lazy(Sampler[int]):
    """Draws each index when it is asked for it, from every global generator."""

    def __len__(self) -> int:
        return COUNT

    def __iter__(self) -> Iterator[int]:
        for _ in range(COUNT):
            numbers = torch.randint(99, ()).item(), np.random.randint(99), random.randrange(99)
            yield int(sum(numbers)) % COUNT


class Own(Sampler[int]):
    """Draws lazily from generators of its own."""

    def __init__(self) -> None:
        self.several = [np.random.default_rng(1), random.Random(2)]

    def __len__(self) -> int:
        return COUNT

    def __iter__(self) -> Iterator[int]:
        for _ in range(COUNT):
            yield (int(self.several[0].integers(99)) + self.several[1].randrange(99)) % COUNT


class Grouped(Sampler[list[int]]):
    """A batch sampler: batches of growing length, and a shift that it counts on."""

    def __init__(self) -> None:
        self.shift = 0

    def __len__(self) -> int:
        return 4

    def __iter__(self) -> Iterator[list[int]]:
        self.shift += 1
        for length in range(1, 5):
            yield [(index + self.shift) % COUNT for index in range(length)]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


DATA = Indices(COUNT)
WEIGHTS = torch.arange(1.0, COUNT + 1)
Maker = Callable[[], dict[str, Any]]
SAMPLERS: dict[str, Maker] = {
    "random": lambda: {"sampler": RandomSampler(DATA)},
    "random with a generator": lambda: {"sampler": RandomSampler(DATA, generator=seeded(4))},
    "random with replacement": lambda: {"sampler": RandomSampler(DATA, True, 13, seeded(4))},
    "weighted": lambda: {"sampler": WeightedRandomSampler(WEIGHTS, COUNT)},
    "weighted with a generator": lambda: {
        "sampler": WeightedRandomSampler(WEIGHTS, COUNT, generator=seeded(4))
    },
    "subset": lambda: {"sampler": SubsetRandomSampler([1, 3, 5, 7, 9])},
    "sequential": lambda: {"sampler": SequentialSampler(DATA)},
    "a list": lambda: {"sampler": [4, 2, 0, 10, 9, 1]},
    "counting its passes": lambda: {"sampler": Passes()},
    "told the epoch": lambda: {"sampler": Told()},
    "with a state_dict": lambda: {"sampler": Stateful()},
    "lazy": lambda: {"sampler": Lazy()},
    "lazy with generators": lambda: {"sampler": Own()},
    "batches": lambda: {"batch_sampler": Grouped()},
    "batches of torch": lambda: {"batch_sampler": BatchSampler(RandomSampler(DATA), 4, True)},
    "batches of torch with a generator": lambda: {
        "batch_sampler": BatchSampler(RandomSampler(DATA, generator=seeded(4)), 4, False)
    },
    "batches over what counts its passes": lambda: {
        "batch_sampler": BatchSampler(Passes(), 4, False)
    },
}


def loader_of(kind: str) -> tuple[LoaderFactory, EpochLoader]:
    given = SAMPLERS[kind]()
    if "sampler" in given:
        given["batch_size"] = 3
    made = factory(10**6, **given)
    return made, made.for_training(77)


def stored(state: Any) -> Any:
    """As a checkpoint stores it, and gives it again."""
    return decode(*encode(state))


@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_sampler_of_the_user_goes_on_in_a_new_object(kind: str) -> None:
    """From every position of three epochs, to the end of all of them."""
    made, loader = loader_of(kind)
    cuts: list[tuple[int, int, Any, Any]] = []
    expected: list[list[list[int]]] = []
    for epoch in range(3):
        loader.start(epoch)
        found = (batch for batch, _ in loader.batches())
        met: list[list[int]] = []
        while True:
            cuts.append(
                (epoch, len(met), stored(made.sampler_state.state()), stored(loader.began_with))
            )
            batch = next(found, None)
            if batch is None:
                break
            met.append(flat(batch))
        expected.append(met)
    for epoch, position, kept, began_with in cuts:
        torch.randn(3), random.random(), np.random.rand()
        again, other = loader_of(kind)
        again.sampler_state.set_state(kept)
        other.start(epoch, position, began_with)
        assert list(batches(other)) == expected[epoch][position:], (epoch, position)
        for later in range(epoch + 1, 3):
            other.start(later)
            assert list(batches(other)) == expected[later], (epoch, position, later)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_the_same_object_may_begin_an_epoch_again(kind: str) -> None:
    """As after Ctrl-C in a notebook."""
    _, loader = loader_of(kind)
    for epoch in range(2):
        loader.start(epoch)
        began_with = stored(loader.began_with)
        expected = list(batches(loader))
    loader.start(1, 1, began_with)
    assert list(batches(loader)) == expected[1:]


VARYING = [
    kind for kind in SAMPLERS if kind not in ("sequential", "a list") and "subset" not in kind
]


@pytest.mark.parametrize("kind", VARYING)
def test_epochs_differ(kind: str) -> None:
    _, loader = loader_of(kind)
    found = []
    for epoch in range(3):
        loader.start(epoch)
        found.append(list(batches(loader)))
    assert found[0] != found[1] != found[2]


@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_sampler_does_not_disturb_the_generators_of_the_run(kind: str) -> None:
    _, loader = loader_of(kind)
    loader.start(0)
    before = str(encode(random_state()))
    tensors = {k: v.clone() for k, v in encode(random_state())[1].items()}
    list(batches(loader))
    after = random_state()
    assert str(encode(after)) == before
    assert all(torch.equal(tensors[k], v) for k, v in encode(after)[1].items())


def test_what_the_run_draws_does_not_disturb_a_sampler() -> None:
    _, loader = loader_of("lazy")
    loader.start(0)
    expected = list(batches(loader))
    loader.start(0)
    met = []
    for batch in batches(loader):
        torch.randn(7), random.random(), np.random.rand(3)
        met.append(batch)
    assert met == expected


@pytest.mark.parametrize("drop_last", [True, False])
def test_a_last_batch_that_is_not_full(drop_last: bool) -> None:
    memory = SamplerState(SequentialSampler(DATA))
    order = CustomBatchSampler(memory, 4, drop_last, seed=1)
    order.start(0, 0)
    expected = list(BatchSampler(SequentialSampler(DATA), 4, drop_last))
    assert [list(batch) for batch in order] == expected
    assert len(order) == len(expected)


def test_one_sampler_of_two_loaders_of_a_factory() -> None:
    """Two pipelines that read one factory, each to its own position."""
    made = factory(10**6, sampler=RandomSampler(DATA), batch_size=3)
    one, other = made.for_training(1), made.for_training(2)
    one.start(0)
    other.start(0)
    met = list(zip(batches(one), batches(other), strict=True))
    for number, loader in enumerate((one, other)):
        loader.start(0, 2)
        assert list(batches(loader)) == [pair[number] for pair in met][2:]


def test_a_sampler_that_is_left_in_the_middle() -> None:
    """An iterator that is given up leaves no trace in the epochs after it."""
    _, loader = loader_of("counting its passes")
    loader.start(0)
    list(batches(loader))
    loader.start(1)
    began_with = stored(loader.began_with)
    some = list(islice(batches(loader), 2))
    loader.start(1, 0, began_with)
    whole = list(batches(loader))
    assert whole[:2] == some


@pytest.mark.parametrize("seed", [None, 1])
def test_an_order_that_fits_into_no_memory(seed: int | None) -> None:
    with pytest.raises(DataError, match="says that it has 1,000,000,000,000,000,000 examples"):
        next(iter(ResumableBatchSampler(10**18, 4, False, seed)))
    with pytest.raises(DataError, match="fit into this machine's memory"):
        split_indices(10**18, [0.5, 0.5], 1)


@given(counts, sizes, st.integers(0, 5))
def test_each_row_of_contiguous_batches_goes_on(count: int, size: int, skipped: int) -> None:
    sampler = ContiguousBatchSampler(count, size)
    steps = count // size
    expected = [[row * steps + batch for row in range(size)] for batch in range(steps)]
    assert len(sampler) == steps
    assert [list(batch) for batch in sampler] == expected
    sampler.start(3, skipped)
    assert [list(batch) for batch in sampler] == expected[skipped:]
    for number, batch in enumerate(expected):
        assert sampler.examples_of(number) == batch
        assert sampler.take_size(number) == size
