"""Processes whose models are on devices of their own: what they exchange goes by the host.

Where there is no GPU, cards stand in for them, which have the bits of the CPU: see ``cards``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from cards import Card, commanded, on_cards
from exact_configs import Config, feed, graph, layer, layers, loader, loss, made, node, part, stage
from exact_configs import config as whole
from exact_runs import Cut
from ranks import trained
from test_part_states import older
from test_processes import assert_same, copied, noisy

from torchassistant import create_session, load_session
from torchassistant.cli.processes import in_processes
from torchassistant.errors import Interrupted
from torchassistant.parallel import Processes, World, launched
from torchassistant.training import Reporter


@pytest.fixture(scope="module", autouse=True)
def _no_threads() -> None:
    torch.set_num_threads(1)


def told_by_all(processes: Processes) -> int:
    """Give each kind of exchange something on a card; it is there afterwards."""
    home = processes.device = torch.device("lazy", processes.local_rank)
    rank, size = processes.rank, processes.size
    rows = processes.gather(torch.full((3,), float(rank), device=home))
    told = processes.gather_values(
        {"on card": torch.ones(2, device=home), "on host": torch.ones(2)}
    )
    first = processes.first(torch.full((2,), float(rank), device=home))
    for count in (3, 1 << 20):
        sums = [torch.ones(count, device=home), torch.ones(count, dtype=torch.int64)]
        totals = World(processes).exchange([[1.0]], [True], [sums]).totals
        assert [one.device for one in totals] == [home, torch.device("cpu")]
        assert [set(one.tolist()) for one in totals] == [{float(size)}, {size}]
    assert rows.device == first.device == home
    assert rows.tolist() == [[float(one)] * 3 for one in range(size)]
    assert first.tolist() == [0.0, 0.0]
    assert {one["on card"].device for one in told} == {home}
    assert {one["on host"].device for one in told} == {torch.device("cpu")}
    return 0


@pytest.mark.parametrize("count", [1, 2, 3])
def test_what_is_exchanged_comes_back_to_its_device(count: int) -> None:
    on_cards(count, lambda: in_processes(launched(), told_by_all))


def test_cards_are_kept_apart() -> None:
    """As on a GPU: the tests here would see what is not brought to the host."""

    def mix() -> int:
        card = torch.ones(2, device="lazy:0")
        assert isinstance(card + 1, Card)
        for other in (torch.ones(2), torch.ones(2, device="lazy:1")):
            with pytest.raises(RuntimeError, match="of tensors on"):
                card + other
        with pytest.raises(RuntimeError):
            card.numpy()
        return 0

    on_cards(1, mix)


def halved(**more: Any) -> Config:
    """A model of which the second half stays on the host; its pipeline may have further keys."""
    groups: dict[str, Any] = {
        "datasets": {"points": part("Points", 22)},
        "loader_factories": {"batches": loader("points", 8, shuffle=True)},
        "models": {
            "body": layers(layer("Linear", 4, 6), layer("BatchNorm1d", 6)),
            "head": layers(layer("BatchNorm1d", 6), layer("Linear", 6, 1)),
        },
        "optimizers": {name: {**made("Adam", lr=0.05), "model": name} for name in ("body", "head")},
        "losses": {"error": {**made("MSELoss"), "inputs": ["y_hat", "y"]}},
        "batch_processors": {
            "first": {"neural_graph": [node("body", "x", "h", "body")]},
            "second": {"device": "cpu", "neural_graph": [node("head", "h", "y_hat", "head")]},
        },
        "batch_graphs": {"row": graph("points", first="points", second="first")},
    }
    fit = {
        "graph": "row",
        "input_factories": [feed("batches", "x y", "points")],
        "losses": [loss("error", "second")],
        **more,
    }
    return {**whole(groups, {"fit": fit}, stage("fit")), "distributed": {"logical_ranks": 2}}


def created(config: Config, folder: Path, *names: str) -> list[Path]:
    """A session, so many times, that is on a card where there are some."""
    create_session({**config, "device": "auto"}, session_dir=folder / "new")
    return [copied(folder / "new", name) for name in names]


@pytest.mark.parametrize(
    "config",
    [
        noisy(logical_ranks=4),
        older(2),
        noisy(sync_batch_norm=True),
        halved(),
        halved(combine=made("combining_parts.summed")),
    ],
    ids=["parts", "kept by parts", "synced", "halved", "halved, combined"],
)
def test_the_bits_are_those_of_the_cpu(tmp_path: Path, config: Config) -> None:
    """Gradients, buffers, metrics, validation by turns, and what adapters keep for each part."""
    there, alone, on_host = created(config, tmp_path, "there", "alone", "on host")
    assert "lazy:0 now" in commanded(2, "train", there)
    assert_same(there, trained(2, on_host, "--device", "cpu"))
    if "logical_ranks" in config["distributed"]:
        commanded(1, "train", alone)
        assert_same(alone, on_host)


def test_a_run_that_was_cut_there_goes_on_elsewhere(tmp_path: Path) -> None:
    """What two processes on cards have saved, one on the CPU goes on with."""
    uncut, path = created(noisy(logical_ranks=2), tmp_path, "uncut", "cut")
    load_session(uncut, "cpu").train()

    def cut(processes: Processes) -> int:
        ending = Cut(1)
        reporter = ending if processes.is_first else Reporter()
        session = load_session(path, processes=processes)
        with pytest.raises(Interrupted):
            session.train(reporter, ending.stop, processes=processes)
        return 0

    on_cards(2, lambda: in_processes(launched(), cut))
    session = load_session(path, "cpu")
    assert 0 < session.progress.step < 4
    session.train()
    assert_same(path, uncut)


def test_results_are_those_of_one_on_the_cpu(tmp_path: Path) -> None:
    (run,) = created(noisy(), tmp_path, "run")
    results: list[Any] = []
    tables: list[str] = []
    for count in (1, 2):
        results.append(json.loads(commanded(count, "evaluate", run, "--json")))
        table = tmp_path / f"{count}.csv"
        commanded(count, "infer", run, "--pipeline", "val", "-o", table)
        tables.append(table.read_text())
    assert results[0] == results[1] == load_session(run, "cpu").evaluate()
    assert tables[0] == tables[1]
