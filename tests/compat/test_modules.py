"""The private tables and classes of ``nn.Module``, and the public ways beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from torchassistant.compat import modules


class Buffered(nn.Module):
    """Buffers of every kind."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("saved", torch.ones(2))
        self.register_buffer("unsaved", torch.zeros(2), persistent=False)
        self.register_buffer("empty", None)
        self.register_buffer("empty_unsaved", None, persistent=False)
        self.inner = nn.BatchNorm1d(3)
        self.weight = nn.Parameter(torch.ones(1))


@pytest.fixture
def taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules, "_BUFFERS", "_taken_away")
    monkeypatch.setattr(modules, "_NON_PERSISTENT", "_taken_away")
    monkeypatch.setattr(modules, "_TABLES", ("_taken_away",))


def test_the_table_is_that_of_the_module() -> None:
    module = Buffered()
    table = modules.own_buffers(module)
    assert list(table) == ["saved", "unsaved", "empty", "empty_unsaved"]
    assert dict(module.named_buffers(recurse=False)).items() <= table.items()
    assert set(modules.unsaved_names(module)) == {"unsaved", "empty_unsaved"}


@pytest.mark.usefixtures("taken_away")
def test_without_the_table_buffers_are_read_by_public_names() -> None:
    module = Buffered()
    table = modules.own_buffers(module)
    assert list(table) == ["saved", "unsaved"]
    assert table["saved"] is module.saved
    assert table["empty"] is None
    assert "weight" not in table
    assert "nothing" not in table
    assert set(modules.unsaved_names(module)) == set()


def exchange(module: nn.Module) -> None:
    table = modules.own_buffers(module)
    table["saved"] = torch.full((3,), 2.0)
    table["unsaved"] = None
    table["empty"] = torch.full((1,), 3.0)
    table["new"] = torch.full((1,), 4.0)


@pytest.mark.parametrize("is_there", [True, False])
def test_what_is_put_there_is_a_buffer(is_there: bool, request: pytest.FixtureRequest) -> None:
    if not is_there:
        request.getfixturevalue("taken_away")
    module = Buffered()
    before = dict(modules.own_buffers(module))
    exchange(module)
    named: dict[str, Any] = dict(module.named_buffers(recurse=False))
    assert {name: value.tolist() for name, value in named.items()} == {
        **{"saved": [2.0] * 3, "empty": [3.0]},
        **({} if is_there else {"new": [4.0]}),
        **({"new": [4.0]} if is_there else {}),
    }
    assert module.unsaved is None
    modules.set_own_buffers(module, before)
    assert dict(module.named_buffers(recurse=False)).keys() == {"saved", "unsaved"}
    assert module.saved is before["saved"]
    assert module.unsaved is before["unsaved"]


def test_buffers_are_put_back_in_their_order() -> None:
    module = Buffered()
    before = dict(modules.own_buffers(module))
    del module.saved
    modules.set_own_buffers(module, before)
    assert list(modules.own_buffers(module)) == list(before)
    assert list(module.state_dict())[:2] == ["weight", "saved"]


def test_the_tables_are_those_of_the_module() -> None:
    module = Buffered()
    tables = modules.state_tables(module)
    assert list(tables) == ["_parameters", "_buffers", "_modules"]
    tables["_parameters"]["weight"] = other = nn.Parameter(torch.zeros(1))
    tables["_modules"]["inner"] = layer = nn.Identity()
    assert module.weight is other
    assert module.inner is layer


@pytest.mark.usefixtures("taken_away")
def test_without_the_tables_what_they_hold_is_found() -> None:
    module = Buffered()
    tables = modules.state_tables(module)
    assert tables["parameters"] == {"weight": module.weight}
    assert tables["buffers"].keys() == {"saved", "unsaved"}
    assert tables["modules"] == {"inner": module.inner}


PUBLIC = [value for value in vars(nn).values() if isinstance(value, type)]


@pytest.mark.parametrize(
    ("classes", "home", "name", "word"),
    [
        (modules.dropout_classes, nn.modules.dropout, "_DropoutNd", "Dropout"),
        (modules.running_norm_classes, nn.modules.batchnorm, "_NormBase", "BatchNorm InstanceNorm"),
    ],
)
def test_every_public_class_is_known_either_way(
    classes: Callable[[], tuple[type, ...]],
    home: Any,
    name: str,
    word: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    meant = [kind for kind in PUBLIC if any(part in kind.__name__ for part in word.split())]
    assert len(meant) > 5
    assert all(issubclass(kind, classes()) for kind in meant)
    found = [kind for kind in PUBLIC if issubclass(kind, classes())]
    assert set(found) == set(meant)
    assert classes() == (getattr(home, name),)
    monkeypatch.delattr(home, name)
    lazy = {kind for kind in meant if kind.__name__.startswith("Lazy")}
    assert {kind for kind in PUBLIC if issubclass(kind, classes())} == set(meant) - lazy


def test_the_attributes_that_are_asked_for_are_there() -> None:
    assert nn.Dropout(0.25).p == 0.25
    assert nn.BatchNorm1d(2).track_running_stats
    assert not nn.InstanceNorm1d(2).track_running_stats
