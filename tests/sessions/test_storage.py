"""Folders appear whole or not at all; what was changed since is found."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from torchassistant.session.storage import (
    damage,
    new_folder,
    read_tensors,
    write_json,
    write_manifest,
    write_tensors,
)


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    with new_folder(tmp_path / "a" / "b") as aside:
        (aside / "x").write_text("1")
        assert not (tmp_path / "a" / "b").exists()
    assert (tmp_path / "a" / "b" / "x").read_text() == "1"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "a" / "b") as aside:
        (aside / "x").write_text("1")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_an_older_folder_is_replaced(tmp_path: Path) -> None:
    for text in ("1", "2"):
        with new_folder(tmp_path / "a") as aside:
            (aside / text).write_text(text)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["2"]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_damage_is_found(tmp_path: Path) -> None:
    with new_folder(tmp_path / "a") as aside:
        write_tensors(aside / "models" / "net.safetensors", {"w": torch.ones(3)})
        write_json(aside / "state.json", {"x": 1})
        write_manifest(aside)
    folder = tmp_path / "a"
    assert damage(folder) is None
    path = folder / "models" / "net.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "SHA-256 differs" in (damage(folder) or "")
    path.write_bytes(whole[:-1])
    assert "bytes instead of" in (damage(folder) or "")
    path.unlink()
    assert damage(folder) == "models/net.safetensors is missing"
    (folder / "manifest.json").write_text("{")
    assert "manifest.json cannot be read" in (damage(folder) or "")
    (folder / "manifest.json").unlink()
    assert damage(folder) == "manifest.json is missing"


def test_tensors_that_share_memory(tmp_path: Path) -> None:
    base = torch.arange(6.0).reshape(2, 3)
    write_tensors(tmp_path / "t.safetensors", {"a": base, "b": base, "c": base.T, "d": base[0]})
    stored = read_tensors(tmp_path / "t.safetensors")
    assert torch.equal(stored["b"], base)
    assert torch.equal(stored["c"], base.T)
    assert torch.equal(stored["d"], base[0])
