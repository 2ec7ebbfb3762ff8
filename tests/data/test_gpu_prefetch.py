"""Frames that are brought to a device: each when it is asked for, and no other."""

from __future__ import annotations

import multiprocessing
from itertools import islice
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from torchassistant.adapters import SelectInputs
from torchassistant.collators import DefaultCollator
from torchassistant.data.gpu_prefetch import prefetched
from torchassistant.data.loader_factory import LoaderFactory
from torchassistant.data.multi_loader import MultiLoader
from torchassistant.data.port import Port
from torchassistant.data.workers import interruptible
from torchassistant.errors import Interrupted, UserCodeError
from torchassistant.graph import BatchGraph, NeuralProcessor, Node, ObjectProcessor
from torchassistant.output_adapters import IdentityAdapter
from torchassistant.training import InputSource, Pipeline

COUNT = 10


class Numbers(Dataset[int]):
    """Its own indices, but for one that cannot be read."""

    def __init__(self, broken: int = -1) -> None:
        self.broken = broken

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> int:
        if index == self.broken:
            raise LookupError("unreadable")
        return index


class Journey:
    """Stands in for the way to a device: notes what was brought there."""

    def __init__(self) -> None:
        self.brought: list[list[int]] = []

    def __call__(self, frame: dict[str, Any]) -> dict[str, Any]:
        self.brought.append(frame["x"].tolist())
        return {"x": -frame["x"]}


def injector(workers: int, broken: int = -1) -> tuple[MultiLoader, Journey]:
    kwargs = {"batch_size": 2, "num_workers": workers}
    loader = LoaderFactory(Numbers(broken), DefaultCollator(), kwargs).for_evaluation(0)
    journey = Journey()
    return MultiLoader([Port("input", loader, ("x",), "numbers", "", journey)]), journey


@pytest.fixture(params=[0, 2])
def workers(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_in_their_order_to_the_end(workers: int) -> None:
    data, journey = injector(workers)
    found = [frames["input"]["x"].tolist() for frames in data.frames(0, skipped=1)]
    assert found == [[-2, -3], [-4, -5], [-6, -7], [-8, -9]]
    assert journey.brought == [[2, 3], [4, 5], [6, 7], [8, 9]]


def test_none_before_it_is_asked_for(workers: int) -> None:
    data, journey = injector(workers)
    frames = data.frames(0)
    next(frames)
    assert journey.brought == [[0, 1]]
    frames.close()
    assert journey.brought == [[0, 1]]
    assert multiprocessing.active_children() == []


def test_an_error_comes_where_it_is(workers: int) -> None:
    data, journey = injector(workers, broken=5)
    frames = data.frames(0)
    assert len(list(islice(frames, 2))) == 2
    with pytest.raises(UserCodeError):
        next(frames)
    assert journey.brought == [[0, 1], [2, 3]]


def test_an_interruption_comes_before_the_next() -> None:
    def stop() -> None:
        raise Interrupted(2, "asked to stop")

    data, journey = injector(2)
    frames = data.frames(0)
    next(frames)
    with pytest.raises(Interrupted), interruptible(stop):
        next(frames)
    assert journey.brought == [[0, 1]]
    assert multiprocessing.active_children() == []


# Where the frames of a graph may be


def on(device: str, **adapters: Any) -> NeuralProcessor:
    node = Node("net", nn.Linear(1, 1), ("x",), ("y",))
    return NeuralProcessor("p", [node], moves_to=torch.device(device), **adapters)


def home(*processors: Any) -> torch.device | None:
    named = {str(number): processor for number, processor in enumerate(processors)}
    return BatchGraph("graph", named, ["port"], {}).home


def test_the_home_of_a_graph() -> None:
    cuda = torch.device("cuda:0")
    assert home(on("cuda:0")) == home(on("cuda:0"), on("cuda:0")) == cuda
    ours = {"input_adapter": SelectInputs({}), "output_adapter": IdentityAdapter()}
    assert home(on("cuda:0", **ours)) == cuda
    assert home(on("cuda:0"), on("cuda:1")) is None
    assert home(on("cuda:0"), on("cpu")) is None
    assert home(on("cuda:0"), ObjectProcessor("own", dict)) is None
    assert home(on("cuda:0", input_adapter=dict)) is None
    assert home(on("cuda:0", output_adapter=lambda frame: frame)) is None


def test_pinned_where_workers_load_for_a_gpu() -> None:
    def pins(**kwargs: Any) -> bool:
        return (
            LoaderFactory(Numbers(), DefaultCollator(), kwargs)
            .for_training(0, True)
            .loader.pin_memory
        )

    assert pins(num_workers=1)
    assert not pins(num_workers=1, pin_memory=False)
    assert not pins(num_workers=0)


on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@on_a_gpu
def test_the_values_are_there_when_they_are_needed() -> None:
    """Copies are large enough to be under way while the work on the one before goes on."""
    device = torch.device("cuda")
    frames = [{"x": torch.full((1 << 22,), float(i)), "names": ["a"]} for i in range(8)]
    expected = [float(i) * (1 << 22) for i in range(8)]
    work = torch.randn(2048, 2048, device=device)
    sums = []
    for frame in frames:
        given = prefetched(frame, device)
        assert given["x"].is_cuda
        assert given["names"] is frame["names"]
        for _ in range(5):
            work = torch.tanh(work @ work)
        sums.append(given["x"].sum(dtype=torch.float64))
        del given
    assert [float(value) for value in sums] == expected


@on_a_gpu
def test_what_is_no_tensor_of_the_host_stays() -> None:
    device = torch.device("cuda")
    there = torch.ones(3, device=device)
    frame = {"there": there, "sparse": torch.ones(2, 2).to_sparse(), "none": torch.empty(0, 3)}
    given = prefetched(frame, device)
    assert given["there"] is there
    assert given["sparse"] is frame["sparse"]
    assert (given["none"].shape, given["none"].is_cuda) == ((0, 3), True)


@on_a_gpu
@pytest.mark.parametrize("workers", [0, 2])
def test_nobody_waits_for_a_copy(workers: int) -> None:
    processor = on("cuda")
    processor.nodes[0].model.to("cuda")
    graph = BatchGraph("graph", {"p": processor}, ["port"], {"p": ["port"]})
    data = TensorDataset(torch.arange(64.0).reshape(64, 1))
    factory = LoaderFactory(data, DefaultCollator(), {"batch_size": 8, "num_workers": workers})
    pipeline = Pipeline("fit", graph, [InputSource("port", factory, ("x",))], (), (), 1)
    injector = pipeline.evaluation_data()
    found = []
    torch.cuda.set_sync_debug_mode("error")
    try:
        for frames in injector.frames(0):
            assert frames["port"]["x"].is_cuda
            found.append(graph.for_evaluation().run(frames)["p"]["x"])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(torch.cat(found).cpu(), data.tensors[0])
