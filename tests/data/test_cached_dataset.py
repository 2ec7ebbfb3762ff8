"""Cached datasets: what goes in comes out, whole, in batches, and in other processes."""

from __future__ import annotations

import random
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import Subset
from torchvision.transforms.functional import pil_to_tensor

from torchassistant.collators import DefaultCollator
from torchassistant.data import CachedDataset, MergedDataset, PreprocessedDataset
from torchassistant.data.cache.disk_cache import DiskStore
from torchassistant.data.cache.memory_cache import MemoryStore
from torchassistant.data.cached_dataset import Store, caches_in
from torchassistant.errors import DataError, UserCodeError


class Listed:
    """The examples of a list; counts how often each is made."""

    def __init__(self, examples: Sequence[Any]) -> None:
        self.listed = list(examples)
        self.made = [0] * len(self.listed)

    def __len__(self) -> int:
        return len(self.listed)

    def __getitem__(self, index: int) -> Any:
        self.made[index] += 1
        return self.listed[index]


StoreOf = Callable[..., Store]


@pytest.fixture(params=["memory", "disk"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> StoreOf:
    """Makes a store of each kind."""

    def make(limit: int | None = None, identity: str = "") -> Store:
        if request.param == "memory":
            return MemoryStore(limit)
        return DiskStore(tmp_path / "cache", limit, identity)

    return make


def cached(examples: Sequence[Any], store: Store | None = None) -> CachedDataset:
    dataset = CachedDataset(Listed(examples), store or MemoryStore(), "listed")
    dataset.fill()
    return dataset


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same, in type, in shape and in bits."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        alike = (one.dtype, one.shape, steps(one)) == (other.dtype, other.shape, steps(other))
        return alike and bits(one) == bits(other)
    if isinstance(one, (np.ndarray, np.generic)):
        return (one.dtype, one.shape) == (other.dtype, other.shape) and (
            one.tobytes() == other.tobytes()
        )
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Image.Image):
        return (one.mode, one.size, one.tobytes()) == (other.mode, other.size, other.tobytes())
    if isinstance(one, float):
        return np.float64(one).tobytes() == np.float64(other).tobytes()
    return bool(one == other)


def steps(tensor: torch.Tensor) -> list[int]:
    """The strides that mean something: none leads to where there is nothing."""
    pairs = zip(tensor.stride(), tensor.shape, strict=True)
    return [stride for stride, size in pairs if size > 1] if tensor.numel() else []


def bits(tensor: torch.Tensor) -> bytes:
    flat = tensor.resolve_conj().resolve_neg().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()


# Every kind of value

DTYPES = [
    dtype
    for dtype in vars(torch).values()
    if isinstance(dtype, torch.dtype)
    and dtype
    in (
        *(torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.float8_e5m2),
        *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16),
        *(torch.bool, torch.complex64, torch.complex128),
    )
]
SHAPES = st.lists(st.integers(0, 3), max_size=4).map(tuple)


@st.composite
def tensors(draw: st.DrawFn, shape: tuple[int, ...] | None = None) -> torch.Tensor:
    """Any bits, in any order of memory."""
    shape = draw(SHAPES) if shape is None else shape
    dtype = draw(st.sampled_from(DTYPES))
    count = int(np.prod(shape)) * dtype.itemsize
    raw = bytearray(draw(st.binary(min_size=count, max_size=count)))
    if dtype is torch.bool:
        raw = bytearray(byte % 2 for byte in raw)
    flat = torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0, dtype=dtype)
    order = draw(st.permutations(range(len(shape))))
    return flat.reshape([shape[d] for d in order]).permute(np.argsort(order).tolist())


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    shape = draw(SHAPES)
    dtype = np.dtype(draw(st.sampled_from(["?", "u1", "<i4", ">i2", "<f8", ">f4", "c8", "<M8[s]"])))
    count = int(np.prod(shape)) * dtype.itemsize
    raw = draw(st.binary(min_size=count, max_size=count))
    raw = bytes(byte % 2 for byte in raw) if dtype.kind == "b" else raw
    array = np.ndarray(shape, dtype, raw).copy()
    return draw(st.sampled_from([array, np.asfortranarray(array), array.T]))


NUMBERS = st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.none())
TEXTS = st.one_of(st.text(), st.binary(), st.text(st.characters(categories=["Cs"]), max_size=2))
SCALARS = st.one_of(
    st.floats(width=32).map(np.float32),
    st.integers(0, 255).map(np.uint8),
    st.booleans().map(np.bool_),
    st.floats().map(np.float64),
)
IMAGES = st.builds(
    lambda mode, size, seed: Image.frombytes(
        mode, size, random.Random(seed).randbytes(len(Image.new(mode, size).tobytes()))
    ),
    st.sampled_from(["1", "L", "RGB", "RGBA", "I", "F", "I;16"]),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.integers(),
)
LEAVES = st.one_of(tensors(), arrays(), NUMBERS, TEXTS, SCALARS, IMAGES)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.lists(st.integers(-9, 9)),
        st.dictionaries(st.one_of(st.text(max_size=2), st.integers(0, 9)), inner, max_size=3),
    ),
    max_leaves=6,
)
EXAMPLES = st.integers(0, 3).flatmap(
    lambda width: st.one_of(
        st.lists(st.tuples(*[VALUES] * width), min_size=1, max_size=5),
        st.lists(st.tuples(*[VALUES] * width).map(list), min_size=1, max_size=5),
        st.lists(
            st.tuples(*[VALUES] * width).map(lambda v: dict(zip("abc", v, strict=False))),
            min_size=1,
            max_size=5,
        ),
    )
)
SINGLE = st.lists(LEAVES, min_size=1, max_size=5)


@given(st.one_of(EXAMPLES, SINGLE))
@settings(max_examples=200, deadline=None)
def test_examples_come_back_as_they_were(examples: list[Any]) -> None:
    dataset = cached(examples)
    for index, example in enumerate(examples):
        assert same(dataset[index], example)
        assert same(dataset[index - len(examples)], example)
    assert same(list(dataset), examples)
    assert dataset.dataset.made == [1] * len(examples)


@given(st.one_of(EXAMPLES, SINGLE), st.randoms())
@settings(max_examples=200, deadline=None)
def test_batches_are_those_of_the_default_collator(examples: list[Any], draw: Any) -> None:
    dataset = cached(examples)
    indices = [draw.randrange(len(examples)) for _ in range(draw.randint(0, 6))]
    assert_batch(dataset, examples, indices)


def assert_batch(dataset: CachedDataset, examples: Sequence[Any], indices: list[int]) -> None:
    """The same batch, or the same complaint."""
    try:
        expected = DefaultCollator()([examples[index] for index in indices])
    except DataError as error:
        with pytest.raises(DataError) as caught:
            dataset.columns_at(indices)
        assert str(caught.value) == str(error)
    else:
        assert same(dataset.columns_at(indices), expected)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_columns_that_can_be_stacked(data: st.DataObject) -> None:
    """Most columns are of one kind and one shape: these are cut from one buffer."""
    shape = data.draw(SHAPES)
    tensor = data.draw(tensors(shape))
    kinds: dict[str, list[Any]] = {
        "tensors": [tensor, torch.zeros_like(tensor), tensor.clone()],
        "arrays": [np.full(shape, number, np.int16) for number in range(3)],
        "swapped": [np.full(shape, number, ">i2") for number in range(3)],
        "scalars": [np.float32(number) for number in range(3)],
        "floats": data.draw(st.lists(st.floats(), min_size=3, max_size=3)),
        "ints": data.draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=3, max_size=3)),
        "bools": [True, False, True],
    }
    examples = [dict(zip(kinds, values, strict=True)) for values in zip(*kinds.values())]  # noqa: B905
    assert_batch(cached(examples), examples, [2, 0, 0, 1])


def test_another_default_dtype() -> None:
    examples = [(0.1,), (1e300,), (float("nan"),)]
    dataset = cached(examples)
    for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.float32):
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            assert_batch(dataset, examples, [2, 1, 0])
        finally:
            torch.set_default_dtype(before)


def test_ragged_columns(store: StoreOf) -> None:
    examples = [
        (torch.arange(n * 2.0).reshape(n, 2), list(range(n)), "é" * n, np.zeros((2, n)))
        for n in (3, 0, 5, 1)
    ]
    dataset = cached(examples, store())
    assert [same(dataset[i], examples[i]) for i in range(4)] == [True] * 4
    assert_batch(dataset, examples, [0, 0])
    assert_batch(dataset, examples, [0, 2])


def test_images_and_what_is_made_of_them(store: StoreOf, tmp_path: Path) -> None:
    """An image of a file is one in memory afterwards; the order of a tensor's memory stays."""
    Image.new("RGB", (5, 3), (9, 8, 7)).save(tmp_path / "a.png")
    image = Image.open(tmp_path / "a.png")
    dataset = cached([(image, pil_to_tensor(image), pil_to_tensor(image)[:, 1:, 1:])], store())
    given_back, tensor, cut = dataset[0]
    assert type(given_back) is Image.Image
    assert (given_back.mode, given_back.tobytes()) == ("RGB", image.tobytes())
    assert tensor.stride() == pil_to_tensor(image).stride() == (1, 15, 3)
    assert cut.stride() == (1, 12, 3)
    assert torch.equal(cut, pil_to_tensor(image)[:, 1:, 1:])
    image.close()


@pytest.mark.parametrize("kind", ["one shape", "ragged"])
def test_what_is_handed_out_may_be_changed(store: StoreOf, kind: str) -> None:
    length = 3 if kind == "one shape" else 2
    examples = [(torch.ones(3), np.ones(3)), (torch.ones(length), np.ones(length))]
    dataset = cached(examples, store())
    for _ in range(2):
        row, array = dataset[0]
        row.zero_()
        array[:] = 0
        for tensor in dataset.columns_at([0, 0]):
            tensor.zero_()
        for row, array in dataset.__getitems__([0, 1]):
            row.zero_()
            array[:] = 0
    assert same(dataset[0], (torch.ones(3), np.ones(3)))
    dataset[0][0].resize_(100)


Pair = namedtuple("Pair", "x y")


@pytest.mark.parametrize(
    ("example", "told"),
    [
        ((1, object()), "in column 1 a value of type object"),
        ({"x": {1, 2}}, 'in column "x" a value of type set'),
        ((torch.ones(2, requires_grad=True),), "in column 0 a tensor that requires gradients"),
        ((torch.ones(2).to_sparse(),), "in column 0 a tensor that is not dense"),
        ((torch.nn.Parameter(torch.ones(1)),), "type torch.nn.parameter.Parameter"),
        ((np.array([None]),), "an array of object"),
        ((2**63,), "an integer beyond 64 bits"),
        (([1, -(2**64)],), "an integer beyond 64 bits"),
        ((Image.new("P", (1, 1)),), "an image of the mode P"),
        (Pair(1, 2), "an example of type test_cached_dataset.Pair"),
        (OrderedDict(a=1), "an example of type collections.OrderedDict"),
        ({1: 2}, "an example of type dict whose keys are not texts"),
    ],
    ids=lambda value: "" if isinstance(value, str) else type(value).__name__,
)
def test_what_cannot_be_stored_is_named(store: StoreOf, example: Any, told: str) -> None:
    with pytest.raises(DataError) as caught:
        cached([example], store())
    assert str(caught.value).startswith('the dataset "listed" cannot be cached: ')
    assert told in str(caught.value)


def test_examples_of_different_forms(store: StoreOf) -> None:
    with pytest.raises(DataError, match="a tuple of 1 columns, and the first a tuple of 2 columns"):
        cached([(1, 2), (1,)], store())


# Filling


def test_until_it_is_filled_it_is_the_dataset() -> None:
    listed = Listed([(1, "a"), (2, "b")])
    dataset = CachedDataset(listed, MemoryStore(), "listed")
    assert dataset[1] is listed.listed[1]
    assert dataset.__getitems__([0, 1]) == listed.listed
    assert same(dataset.columns_at([1, 0]), [torch.tensor([2, 1]), ["b", "a"]])
    assert listed.made == [2, 3]
    assert dataset.listed is listed.listed
    with pytest.raises(AttributeError, match="unlisted"):
        _ = dataset.unlisted


def test_what_is_outside_raises(store: StoreOf) -> None:
    dataset = cached([1, 2], store())
    for index in (2, -3):
        with pytest.raises(IndexError):
            dataset[index]
    with pytest.raises(IndexError):
        dataset.columns_at([0, 2])
    assert len(cached([], store(identity="empty"))) == 0


@pytest.mark.parametrize("draw", ["python", "numpy", "torch", "own", "own at the first"])
def test_what_is_random_is_not_frozen(store: StoreOf, draw: str) -> None:
    class Noisy(Listed):
        def __init__(self) -> None:
            super().__init__([0.0] * 8)
            self.own = torch.Generator() if draw == "own" else None

        def __getitem__(self, index: int) -> Any:
            if draw == "own at the first" and self.own is None:
                self.own = torch.Generator()
            if self.own is not None:
                return torch.rand(1, generator=self.own)
            draws: dict[str, Callable[[], Any]] = {
                "python": random.random,
                "numpy": np.random.random,
                "torch": lambda: torch.rand(1),
            }
            return draws[draw]()

    dataset = CachedDataset(Noisy(), store(), "noisy")
    for _ in range(2):
        with pytest.raises(DataError, match=r'"noisy" draws random numbers .* in "augment"'):
            dataset.fill()
    assert dataset.table is None


def test_what_the_dataset_raises_is_the_datasets(store: StoreOf) -> None:
    class Broken(Listed):
        def __getitem__(self, index: int) -> Any:
            raise FileNotFoundError("no such image")

    with pytest.raises(UserCodeError, match='filling the cache of the dataset "broken"'):
        CachedDataset(Broken([1]), store(), "broken").fill()


def test_too_large(store: StoreOf, capsys: pytest.CaptureFixture[str]) -> None:
    listed = Listed([torch.zeros(100) for _ in range(50)])
    dataset = CachedDataset(listed, store(limit=10_000), "large")
    for _ in range(2):
        dataset.fill()
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert told.startswith('warning: the dataset "large" is not cached, but read in every epoch: ')
    assert "26 of its 50 examples take 10.4 kB, and cache_limit is 10 kB" in told
    assert dataset[3] is listed.listed[3]
    assert listed.made[:27] == [1, 1, 1, 2, *[1] * 22, 0]


def test_caches_inside_others() -> None:
    inner = CachedDataset(Listed([(1,), (2,)]), MemoryStore(), "inner")
    outer = CachedDataset(PreprocessedDataset(inner, [float], "p"), MemoryStore(), "outer")
    other = CachedDataset(Listed([(5.0,)]), MemoryStore(), "other")
    merged = MergedDataset([Subset(outer, [1, 0]), other])
    found = list(caches_in(Subset(merged, [0, 2])))
    assert found == [outer, other]
    for cache in found:
        cache.fill()
    assert [merged[i] for i in range(3)] == [(2.0,), (1.0,), (5.0,)]
    assert inner.dataset.made == [1, 1]
    assert inner.table is not None


def test_it_says_what_it_did(store: StoreOf, capsys: pytest.CaptureFixture[str]) -> None:
    cached([torch.zeros(100)] * 50, store()).fill()
    told = capsys.readouterr().err
    assert told.startswith('the dataset "listed" is cached ')
    assert "50 examples, 20 kB" in told
    assert told.count("\n") == 1
