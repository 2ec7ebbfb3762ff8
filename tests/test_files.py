"""Files that anybody may have put there."""

from __future__ import annotations

import json
import math
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchassistant.files import InvalidFile, open_regular, parsed_json, read_regular


def test_a_regular_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"abc")
    assert read_regular(file, 3) == b"abc"
    with open_regular(file) as opened:
        assert opened.read() == b"abc"
        assert not os.get_inheritable(opened.fileno())


def test_an_interruption_while_a_file_is_opened_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"{}")

    def interrupted(*args: Any, **kwargs: Any) -> None:
        open(*args, **kwargs).close()
        raise KeyboardInterrupt

    monkeypatch.setattr("torchassistant.files.open", interrupted, raising=False)
    with pytest.raises(KeyboardInterrupt):
        open_regular(path)


def test_what_is_reached_through_a_linked_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a").write_bytes(b"abc")
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    assert read_regular(tmp_path / "run" / "a", 3) == b"abc"


def make(kind: str, path: Path) -> None:
    if kind == "link":
        path.symlink_to(__file__)
    elif kind == "FIFO":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))


@pytest.mark.parametrize("kind", ["link", "FIFO", "folder", "socket"])
def test_anything_else_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    make(kind, Path("odd"))
    told: list[str] = []

    def read() -> None:
        with pytest.raises(InvalidFile) as raised:
            read_regular("odd", 10)
        told.append(str(raised.value))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "it hangs"
    assert f"is a {kind}" in told[0]


def test_devices_are_refused() -> None:
    with pytest.raises(InvalidFile, match="is a device"):
        read_regular("/dev/zero", 10)


def test_a_sparse_terabyte_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "vast").open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(InvalidFile, match=r"has 1 TB, and 10 B at most are read"):
        read_regular(tmp_path / "vast", 10)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values)
def test_json_comes_back(value: Any) -> None:
    assert parsed_json(json.dumps(value).encode()) == value


@given(st.binary())
def test_other_bytes_are_refused_or_json(data: bytes) -> None:
    try:
        value = parsed_json(data)
    except InvalidFile:
        return
    assert json.loads(data) == value
    assert not (isinstance(value, float) and math.isnan(value))


@pytest.mark.parametrize("levels", [201, 900, 100_000])
@pytest.mark.parametrize("pair", [("[", "]"), ('{"a":', "}")])
def test_deep_json_is_refused(levels: int, pair: tuple[str, str]) -> None:
    left, right = pair
    with pytest.raises(InvalidFile, match="200 levels"):
        parsed_json((left * levels + "1" + right * levels).encode())


def test_json_of_200_levels_is_read() -> None:
    assert parsed_json(b"[" * 200 + b"1" + b"]" * 200)


@pytest.mark.parametrize("text", [b"NaN", b"[Infinity]", b"-Infinity", b"1" * 5000, b"\xff", b""])
def test_what_json_does_not_have_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidFile, match="is not valid JSON"):
        parsed_json(text)
