"""Transforms of columns: what they are called with, what becomes of what they give, mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from torchassistant.collators import DefaultCollator
from torchassistant.data.augment import Augment, Augmented, On
from torchassistant.data.loader_factory import LoaderFactory
from torchassistant.data.multi_loader import MultiLoader
from torchassistant.data.port import Port
from torchassistant.errors import DataError, UserCodeError

WHAT = 'the augment of the loader factory "training"'


def augment(transform: Any, *columns: int, on: On = "examples") -> Augment:
    return Augment(transform, on, columns or (0,), WHAT)


def negated(value: Any) -> Any:
    return -value


def swapped(one: Any, other: Any) -> list[Any]:
    return [other, one]


@pytest.mark.parametrize(
    ("transform", "columns", "row", "expected"),
    [
        (negated, (0,), (1, 2), (-1, 2)),
        (negated, (1,), [1, 2], [1, -2]),
        (negated, (0,), 5, -5),
        (swapped, (0, 2), (1, 2, 3), (3, 2, 1)),
        (swapped, (2, 0), [1, 2, 3], [3, 2, 1]),
        (tuple, (0,), ([1, 2],), ((1, 2),)),
    ],
)
def test_of_a_row(transform: Any, columns: tuple[int, ...], row: Any, expected: Any) -> None:
    found = augment(transform, *columns)(row)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("transform", "columns", "row", "message"),
    [
        (negated, (2,), (1, 2), r"for the columns \[2\] .* the examples have 2 columns"),
        (negated, (1,), 5, r"for the columns \[1\] .* the examples have 1 columns"),
        (negated, (0,), {"x": 1}, "the examples have names and no positions"),
        (swapped, (0, 1), (1,), r"the columns \[0, 1\]"),
        (lambda a, b: (a,), (0, 1), (1, 2), "gets 2 columns .* it gave 1$"),
        (lambda a, b: torch.zeros(2), (0, 1), (1, 2), "gets 2 columns .* it gave Tensor$"),
    ],
)
def test_what_does_not_fit(
    transform: Any, columns: tuple[int, ...], row: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        augment(transform, *columns)(row)
    assert str(caught.value).startswith(WHAT)


def test_examples_before_the_collator_and_batches_after() -> None:
    """One example after the other, each through all transforms."""
    calls: list[str] = []

    def noted(name: str) -> Any:
        def transform(value: Any) -> Any:
            calls.append(f"{name} {value}")
            return value

        return transform

    around = [augment(noted("a")), augment(noted("c"), on="batches"), augment(noted("b"))]
    assert Augmented(sum, around)([1, 2]) == 3
    assert calls == ["a 1", "b 1", "a 2", "b 2", "c 3"]


# In loaders

DATA = TensorDataset(torch.arange(6.0), torch.arange(6))


class Stream(IterableDataset[Any]):
    """Six numbers."""

    def __iter__(self) -> Iterator[float]:
        yield from map(float, range(6))


class Whole(Dataset[Any]):
    """Gives batches."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.full((2,), float(index))


def numbers(loader: Any) -> list[float]:
    loader.start(0)
    return [float(x) for (x, *_), _ in loader.batches() for x in x.flatten()]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("on", ["examples", "batches"])
@pytest.mark.parametrize("dataset", [DATA, Stream()], ids=["columns", "stream"])
def test_training_only(dataset: Any, on: On, workers: int) -> None:
    kwargs: dict[str, Any] = {"batch_size": 4, "num_workers": workers}
    if dataset is DATA:
        kwargs["shuffle"] = False
    made = LoaderFactory(dataset, DefaultCollator(), kwargs, augments=[augment(negated, on=on)])
    made.check()
    assert numbers(made.for_training(1)) == [-0.0, -1, -2, -3, -4, -5]
    assert numbers(made.in_process().for_training(1)) == [-0.0, -1, -2, -3, -4, -5]
    assert numbers(made.for_evaluation(1)) == [0, 1, 2, 3, 4, 5]


def test_a_dataset_that_gives_batches() -> None:
    kwargs = {"batch_size": None, "shuffle": False}
    made = LoaderFactory(
        Whole(), DefaultCollator(), kwargs, augments=[augment(negated, on="batches")]
    )
    made.check()
    loader = made.for_training(0)
    loader.start(0)
    assert [batch.tolist() for batch, _ in loader.batches()] == [[-i, -i] for i in range(6)]
    made = LoaderFactory(Whole(), DefaultCollator(), kwargs, augments=[augment(negated)])
    with pytest.raises(ValueError, match=r'gives whole batches, .* must be on "batches"'):
        made.check()


def failing(value: Any) -> Any:
    if (value == 3).any():
        raise LookupError("no three,\nand no four")
    return value


@pytest.mark.parametrize("on", ["examples", "batches"])
@pytest.mark.parametrize("workers", [0, 1])
def test_what_raises_is_named(workers: int, on: On) -> None:
    kwargs = {"batch_size": 2, "num_workers": workers}
    made = LoaderFactory(
        DATA, DefaultCollator(), kwargs, "training", augments=[augment(failing, on=on)]
    )
    injector = MultiLoader([Port("input", made.for_training(0), None, "training")])
    with pytest.raises(UserCodeError) as caught:
        list(injector.frames(0))
    assert caught.value.part == WHAT
    assert "LookupError" in f"{caught.value.__cause__!r}"
    assert "no three" in str(caught.value.__cause__)


@pytest.mark.parametrize("workers", [0, 1])
def test_data_that_does_not_fit_is_told(workers: int) -> None:
    kwargs = {"num_workers": workers}
    made = LoaderFactory(DATA, DefaultCollator(), kwargs, augments=[augment(negated, 7)])
    with pytest.raises(DataError, match=r"^the augment of .* the examples have 2 columns$"):
        list(MultiLoader([Port("input", made.for_training(0), None)]).frames(0))
