"""Through what the libraries read weights: where it is private, and where it can be found."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torchvision
from torchvision.datasets import utils

from torchassistant.compat import archives, weights


def written(path: Path, *names: str) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    return str(path)


@pytest.mark.parametrize("is_there", [True, False])
def test_which_files_are_unpacked(
    is_there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_there:
        assert hasattr(torch.hub, "_is_legacy_zip_format")
    else:
        monkeypatch.delattr(torch.hub, "_is_legacy_zip_format")
    plain = tmp_path / "plain"
    plain.write_bytes(b"weights")
    assert weights.is_unpacked_when_read(written(tmp_path / "one", "weights.pth"))
    assert not weights.is_unpacked_when_read(written(tmp_path / "two", "a", "b"))
    assert not weights.is_unpacked_when_read(written(tmp_path / "folder", "a/"))
    assert not weights.is_unpacked_when_read(str(plain))


@pytest.mark.parametrize("is_there", [True, False])
def test_the_class_of_all_weights_of_torchvision(
    is_there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_there:
        monkeypatch.delitem(sys.modules, "torchvision.models._api")
    kinds = [value for name, value in vars(torchvision.models).items() if "_Weights" in name]
    assert len(kinds) > 50
    assert all(issubclass(kind, weights.weights_enum()) for kind in kinds)
    assert "get_state_dict" in vars(weights.weights_enum())


def read_through(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a model of torchvision reads its weights through, by the modules that were found."""

    def read(url: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {"read": url}

    for module in weights.reading_modules():
        monkeypatch.setattr(module, weights.READER, read)
    return torchvision.models.ResNet18_Weights.DEFAULT.get_state_dict(progress=False)


@pytest.mark.parametrize("is_there", [True, False])
def test_the_modules_that_read_weights(is_there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not is_there:
        monkeypatch.setattr(weights, "_READERS", ("torchvision.taken_away",))
    names = [module.__name__ for module in weights.reading_modules()]
    assert "torchvision.models._api" in names
    assert read_through(monkeypatch).keys() == {"read"}


def test_what_timm_reads_through(monkeypatch: pytest.MonkeyPatch) -> None:
    builder, factory = ModuleType("timm.models._builder"), ModuleType("timm.models._factory")
    monkeypatch.setitem(sys.modules, builder.__name__, builder)
    monkeypatch.setitem(sys.modules, factory.__name__, factory)
    assert weights.timm_readers() is None
    builder.load_pretrained = factory.load_checkpoint = print  # type: ignore[attr-defined]
    assert weights.timm_readers() == [(builder, "load_pretrained"), (factory, "load_checkpoint")]


def test_what_datasets_unpack_with(monkeypatch: pytest.MonkeyPatch) -> None:
    assert archives.unpacking_functions(utils) == ("_decompress",)
    monkeypatch.delattr(utils, "_decompress")
    assert archives.unpacking_functions(utils) == ()
