"""Folders appear whole or not at all; what was changed since is found."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch

from torchassistant.errors import SessionError
from torchassistant.session.files.durable_files import (
    as_json,
    continue_file,
    fingerprint,
    new_folder,
    read_tensors,
    refuse_links,
    replace_file,
    write_tensors,
)
from torchassistant.session.files.manifest import (
    Damaged,
    of_text,
    verified_manifest,
    write_manifest,
)
from torchassistant.whole_files import own_memory


def test_links_are_named_by_their_own_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, store = tmp_path / "work", tmp_path / "work" / "store"
    (work / "run" / "static").mkdir(parents=True)
    store.mkdir()
    for name in ("b", "a"):
        (store / name).write_text("")
        (work / "run" / "static" / f"{name}.json").symlink_to(store / name)
    (tmp_path / "other").symlink_to(work)
    for here, run in ((work, "run"), (tmp_path / "other", "run"), (work, tmp_path / "other/run")):
        monkeypatch.chdir(here)
        with pytest.raises(SessionError) as raised:
            refuse_links(Path(run), ("static",))
        first, second = str(raised.value).splitlines()
        assert "run/static/a.json is a link" in first and "store" not in first, first
        assert "run/static/b.json is a link" in second and "cp -L" in second, second


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


def test_an_empty_folder_is_taken_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for text in ("1", "2"):
        try:
            with new_folder(tmp_path / "a") as aside:
                (aside / text).write_text(text)
        except OSError:
            assert text == "2"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["1"]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    with new_folder(tmp_path / "a") as aside:
        write_tensors(aside / "models" / "net.safetensors", {"w": torch.ones(3)})
        replace_file(aside / "state.json", as_json({"x": 1}))
        files = {n: fingerprint(aside / n) for n in ("models/net.safetensors", "state.json")}
        write_manifest(aside, files, {"spec.json": of_text(b"{}\n")}, {"loss": 0.5})
    return tmp_path / "a"


def wrong_with(folder: Path) -> str:
    with pytest.raises(Damaged) as caught:
        verified_manifest(folder)
    return str(caught.value)


def test_a_manifest_says_what_was_written(checkpoint: Path) -> None:
    manifest = verified_manifest(checkpoint)
    assert sorted(manifest.files) == ["models/net.safetensors", "state.json"]
    assert manifest.text("spec.json") == b"{}\n"
    assert manifest.scores == {"loss": 0.5}
    stored = json.loads((checkpoint / "manifest.json").read_text())
    assert stored["files"]["state.json"]["size"] == (checkpoint / "state.json").stat().st_size


def test_damage_is_found(checkpoint: Path) -> None:
    path = checkpoint / "models" / "net.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "SHA-256 differs" in wrong_with(checkpoint)
    path.write_bytes(whole[:-1])
    assert "bytes instead of" in wrong_with(checkpoint)
    path.unlink()
    assert wrong_with(checkpoint) == "models/net.safetensors is missing"
    path.symlink_to(checkpoint / "state.json")
    assert "models/net.safetensors is a link" in wrong_with(checkpoint)
    (checkpoint / "manifest.json").write_text("{")
    assert "manifest.json is not valid JSON" in wrong_with(checkpoint)
    (checkpoint / "manifest.json").unlink()
    assert wrong_with(checkpoint) == "manifest.json is missing"


def test_no_bit_of_a_manifest_may_change(checkpoint: Path) -> None:
    path = checkpoint / "manifest.json"
    whole = path.read_bytes()
    draw = random.Random(1)
    for position in draw.sample(range(8 * len(whole)), 1500):
        flipped = bytearray(whole)
        flipped[position // 8] ^= 1 << position % 8
        path.write_bytes(flipped)
        assert "manifest.json" in wrong_with(checkpoint)
    path.write_bytes(whole)
    verified_manifest(checkpoint)


def test_a_file_goes_on_where_it_should(tmp_path: Path) -> None:
    path = tmp_path / "x"
    continue_file(path, 0, b"one\n", sync=True)
    path.write_bytes(path.read_bytes() + b"torn")
    continue_file(path, 4, b"two\n", sync=False)
    assert path.read_bytes() == b"one\ntwo\n"


def test_links_are_refused(tmp_path: Path) -> None:
    (tmp_path / "session" / "static").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "session")
    (tmp_path / "session" / "mine").symlink_to(tmp_path / "outside")
    names = ("static", "checkpoints", "spec.json")
    refuse_links(tmp_path / "linked", names)
    (tmp_path / "session" / "static" / "splits").symlink_to(tmp_path / "outside")
    (tmp_path / "session" / "checkpoints").symlink_to(tmp_path / "outside")
    with pytest.raises(SessionError) as caught:
        refuse_links(tmp_path / "linked", names)
    assert len(caught.value.problems) == 2


def test_tensors_that_share_memory(tmp_path: Path) -> None:
    base = torch.arange(6.0).reshape(2, 3)
    tensors = {"a": base, "b": base, "c": base.T, "d": base[0]}
    write_tensors(tmp_path / "x.safetensors", own_memory(tensors))
    stored = read_tensors(tmp_path / "x.safetensors")
    assert stored.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(stored[name], tensor)
    with pytest.raises(FileNotFoundError):
        read_tensors(tmp_path / "none.safetensors")


def test_tensors_are_read_to_where_torch_would_put_them(tmp_path: Path) -> None:
    """Sums depend on where memory begins, in their last bits."""
    tensors = {"x" * length: torch.arange(length + 3.0) for length in range(1, 40)}
    write_tensors(tmp_path / "state.safetensors", tensors)
    found = read_tensors(tmp_path / "state.safetensors")
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    assert {tensor.data_ptr() % 64 for tensor in found.values()} == {0}
