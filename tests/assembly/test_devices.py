"""Which device a name means, for each of several processes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from torchassistant.assembly.devices import Devices, NoDevice, resolve_device
from torchassistant.config import read_training
from torchassistant.errors import ConfigError
from torchassistant.parallel import Processes


def with_gpus(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


@pytest.mark.parametrize(
    ("name", "gpus", "local_rank", "device"),
    [
        ("auto", 0, 1, "cpu"),
        ("auto", 1, 0, "cuda:0"),
        ("auto", 1, 3, "cuda:0"),
        ("auto", 2, 3, "cuda:1"),
        ("cuda", 2, 0, "cuda:0"),
        ("cuda", 4, 2, "cuda:2"),
        ("cuda:1", 4, 2, "cuda:1"),
        ("cpu", 4, 2, "cpu"),
    ],
)
def test_gpus_are_shared_out(
    name: str, gpus: int, local_rank: int, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_gpus(gpus, monkeypatch)
    assert resolve_device(name, local_rank) == torch.device(device)


@pytest.mark.parametrize(("name", "gpus"), [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2)])
def test_what_is_not_there_is_none(name: str, gpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(gpus, monkeypatch)
    with pytest.raises(NoDevice, match=f'"{name}", and this machine has {gpus} CUDA devices'):
        resolve_device(name)


def devices(
    base: str, own: dict[str, str], local_rank: int = 1, size: int = 2, override: str | None = None
) -> Devices:
    """Those of a config with batch processors that name their own, in one of several processes."""
    processors: dict[str, Any] = {
        name: {"neural_graph": [], **({"device": device} if device else {})}
        for name, device in own.items()
    }
    config = {"device": base, "initialize": {"definitions": {"batch_processors": processors}}}
    read = read_training(config)
    assert read.spec is not None, read.diagnostics.problems
    processes = Processes()
    processes.local_rank, processes.size = local_rank, size
    return Devices(read.spec, read.diagnostics.place_of, override, processes)


def test_each_process_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(4, monkeypatch)
    found = devices("auto", {"one": "", "other": "cuda", "host": "cpu"}, 3, 4)
    assert found.base == torch.device("cuda:3")
    assert [str(one) for one in found.processors.values()] == ["cuda:3", "cuda:3", "cpu"]


@pytest.mark.parametrize("base", ["auto", "cpu", "cuda:1"])
def test_numbers_are_the_same_for_all(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(4, monkeypatch)
    found = devices(base, {"one": "cuda:0", "other": "cuda:2"}, 3, 4)
    assert [str(one) for one in found.processors.values()] == ["cuda:0", "cuda:2"]


def test_numbers_beside_devices_of_each_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise gradients would be on one device here, and on two in another process."""
    with_gpus(2, monkeypatch)
    own = {"one": "", "other": "cuda:1", "third": "cuda:0"}
    with pytest.raises(ConfigError) as caught:
        devices("auto", own)
    assert [problem.message for problem in caught.value.problems] == [
        f'"{name}" is one GPU for all processes, and "auto" of others is each process\'s own: '
        "number the devices of all batch processors, or of none"
        for name in ("cuda:1", "cuda:0")
    ]
    assert devices("auto", own, 0, 1).processors["one"] == torch.device("cuda:0")
    assert set(devices("auto", own, override="cuda:1").processors.values()) == {
        torch.device("cuda:1")
    }


@pytest.mark.parametrize(
    ("base", "own", "current"),
    [("cpu", "", []), ("auto", "", ["cuda:1"]), ("cpu", "cuda:0", ["cuda:0"])],
)
def test_that_of_a_process_is_its_current_one(
    base: str, own: str, current: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pinned memory, and code that says "cuda", would open the first GPU in every process."""
    with_gpus(2, monkeypatch)
    chosen: list[str] = []
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: chosen.append(str(device)))
    devices(base, {"one": own}).set_for_process()
    assert chosen == current
