"""A pass is over when the data is, whatever its length is said to be."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import BatchSampler, IterableDataset, Sampler, get_worker_info

from torchassistant.collators import DefaultCollator
from torchassistant.data import LoaderFactory, MultiLoader, Port


class Stream(IterableDataset[torch.Tensor]):
    """Gives ``count`` examples, and says that there are ``claimed``; workers divide them."""

    def __init__(self, count: int, claimed: int) -> None:
        self.count = count
        self.claimed = claimed

    def __len__(self) -> int:
        return self.claimed

    def __iter__(self) -> Iterator[torch.Tensor]:
        info = get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        yield from (torch.tensor([float(i)]) for i in range(first, self.count, step))


class Boastful(Sampler[int]):
    """Draws ``count`` indices, and says that it draws ``claimed``."""

    def __init__(self, count: int, claimed: int) -> None:
        self.count = count
        self.claimed = claimed

    def __len__(self) -> int:
        return self.claimed

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.count))


class BoastfulBatches(BatchSampler):
    """Draws batches of 4 from 10 indices, and says that there are 7."""

    def __init__(self) -> None:
        super().__init__(range(10), 4, False)

    def __len__(self) -> int:
        return 7


def met(factory: LoaderFactory, training: bool, epochs: int = 2) -> list[int]:
    """How many examples each epoch gives."""
    loader = factory.for_training(1) if training else factory.for_evaluation(1)
    injector = MultiLoader([Port("in", loader, ("x",), factory.name, factory.dataset_name)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch has a warning of its own
        injector.length()
        return [
            sum(len(frames["in"]["x"]) for frames in injector.frames(epoch))
            for epoch in range(epochs)
        ]


def factory_of(dataset: Any, **kwargs: Any) -> LoaderFactory:
    kwargs = {"batch_size": 4, **kwargs}
    return LoaderFactory(dataset, DefaultCollator(), kwargs, "loader", "rows")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("claimed", "told"),
    [
        (2, "2 examples (1 batch), and gives more; the pass continues until the data ends"),
        (40, "40 examples (10 batches), and the pass ended after {} batches"),
        (10, None),
    ],
)
def test_streams(
    claimed: int,
    told: str | None,
    training: bool,
    workers: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    factory = factory_of(Stream(10, claimed), num_workers=workers)
    assert met(factory, training) == [10, 10]
    written = capsys.readouterr().err
    if told is None:
        assert written == ""
        return
    batches = 3 if workers == 0 else 4
    start = 'warning: the dataset "rows", in the loader factory "loader", says that it has '
    assert written == f"{start}{told.format(batches)}\n"


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("claimed", [2, 40])
def test_samplers(claimed: int, workers: int, capsys: pytest.CaptureFixture[str]) -> None:
    rows = torch.arange(10.0).unsqueeze(1)
    factory = factory_of(rows, sampler=Boastful(10, claimed), num_workers=workers)
    assert met(factory, training=True) == [10, 10]
    assert capsys.readouterr().err.count("warning: the sampler, in the loader factory") == 1
    # In evaluation the dataset is read in its own order.
    assert met(factory, training=False) == [10, 10]
    assert capsys.readouterr().err == ""


def test_batch_samplers(capsys: pytest.CaptureFixture[str]) -> None:
    rows = torch.arange(10.0).unsqueeze(1)
    factory = LoaderFactory(
        rows, DefaultCollator(), {"batch_sampler": BoastfulBatches()}, "loader", "rows"
    )
    assert met(factory, training=True) == [10, 10]
    assert "the batch sampler, in the loader factory" in (told := capsys.readouterr().err)
    assert "has 7 batches, and the pass ended after 3 batches" in told


def test_one_dataset_is_told_of_once(capsys: pytest.CaptureFixture[str]) -> None:
    stream = Stream(10, 2)
    assert met(factory_of(stream), training=True) == [10, 10]
    assert met(factory_of(stream), training=False) == [10, 10]
    assert capsys.readouterr().err.count("warning") == 1


def test_what_is_not_met_again_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    loader = factory_of(Stream(10, 10)).for_training(1)
    injector = MultiLoader([Port("in", loader, ("x",))])
    assert len(list(injector.frames(0, skipped=2))) == 1
    assert capsys.readouterr().err == ""
