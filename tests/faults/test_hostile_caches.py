"""Hostile caches on disk: nothing in them is trusted, followed, removed or waited for."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import socket
import stat
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from entries import (
    EXAMPLES,
    Content,
    column_of,
    complaint,
    content_of,
    entry_in,
    filled,
    update_digests,
    with_layout,
    write_content,
)
from faults import tree
from hypothesis import given, settings
from hypothesis import strategies as st

from torchassistant.data.cache.cache_folder import cache_folder
from torchassistant.data.cache.disk_cache import DiskStore
from torchassistant.data.cache.file_stamps import stamps_of
from torchassistant.data.cache.layouts import layout_of
from torchassistant.data.cache.values import decode, encode
from torchassistant.files import InvalidFile


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """No power failure is simulated here, and waiting for the disk would take most of the time."""
    monkeypatch.setattr("torchassistant.data.cache.disk_cache.sync", lambda path: None)
    monkeypatch.setattr("torchassistant.data.cache.cache_folder.sync", lambda path: None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of caches with one entry."""
    folder = tmp_path_factory.mktemp("whole") / "cache"
    dataset, stderr = filled(folder)
    assert "is cached on disk: 8 examples" in stderr
    assert complaint(dataset) is None
    return folder


@pytest.fixture
def cache(whole: Path, tmp_path: Path) -> Path:
    """A copy of that folder."""
    return Path(shutil.copytree(whole, tmp_path / "cache"))


def assert_rebuilt(cache: Path, expected: str = "") -> None:
    """One line reports it, the examples are right, and the cache is found the next time."""
    dataset, stderr = filled(cache)
    first, second = stderr.splitlines()
    assert first.startswith('the cache of the dataset "listed" on disk ')
    assert first.endswith(", and is rebuilt")
    assert expected in first
    assert second.startswith('the dataset "listed" is cached on disk: 8 examples')
    assert complaint(dataset) is None
    dataset, stderr = filled(cache)
    assert "rebuilt" not in stderr
    assert complaint(dataset) is None


def assert_found(cache: Path) -> None:
    dataset, stderr = filled(cache)
    assert stderr.count("\n") == 1
    assert complaint(dataset) is None


def assert_not_cached(cache: Path, expected: str) -> None:
    dataset, stderr = filled(cache)
    assert stderr.startswith(
        'warning: the dataset "listed" is not cached, but read in every epoch: '
    )
    assert expected in stderr
    assert stderr.count("\n") == 1
    assert complaint(dataset) is None


# The description of an entry


def put(*path: Any) -> Callable[[Content], None]:
    """Sets the last argument at the path given by the others."""
    *steps, last, value = path

    def change(content: Any) -> None:
        for step in steps:
            content = content[step]
        content[last] = value

    return change


def nested(depth: int) -> Any:
    """A list in a list, and so on."""
    layout: Any = ["none", 0]
    for _ in range(depth):
        layout = ["list", 0, [layout]]
    return layout


RAGGED = column_of("ragged")
HUGE = 2**62

SAYINGS: dict[str, Callable[[Content], None]] = {
    **{
        f"an array of {dtype}": with_layout("array", ["array", 8, dtype, [1], None])
        for dtype in ("|O", "O", "O8", "|V8", "object", "<i4,<i4", "[('a', 'O')]", "<i16", "", "S8")
    },
    **{
        f"a tensor of {dtype}": with_layout("tensor", ["tensor", 24, dtype, [2, 3], None])
        for dtype in ("torch.qint8", "torch.float", "float32", "torch.bits8", "", None, 7)
    },
    **{
        f"a shape {shape}": with_layout("tensor", ["tensor", 24, "torch.float32", shape, None])
        for shape in (
            *([2**32, 2**32], [-2, -3], [2, 3.0], [True, 6], ["2", 3], [[2, 3]], "23", None),
            *([0, HUGE, HUGE, HUGE], [1] * 65 + [6], [10**30, 6], {"0": 6}),
        )
    },
    **{
        f"strides {strides}": with_layout("turned", ["tensor", 48, "torch.int64", [3, 2], strides])
        for strides in ([0, 0], [1, 1], [-1, 3], [HUGE, 1], [1], [3, 1, 1], [2, 7], "13", [1, None])
    },
    **{
        f"an order {order}": with_layout("array", ["array", 8, ">i2", [2, 2], order])
        for order in ([0, 0], [0, 2], [-1, 0], [1], "10", [0.0, 1], [True, False])
    },
    **{
        f"a layout {layout}": with_layout("nothing", layout)
        for layout in (
            *(["none", 8], ["none"], [], "none", None, 7, {"kind": "none"}, ["nothing", 0]),
            *(["object", 0], ["pickle", 0], ["none", 0, 0], ["none", -1], ["none", False]),
            *(["int", 0], ["str", 10**30], ["list", 0, None], ["list", 8, []], [["none"], 0]),
            *(["dict", 0, ["list", 0, []], ["list", 0, [["none", 0]]]]),
            *(["dict", 0, ["list", 0, [["list", 0, []]]], ["list", 0, [["none", 0]]]],),
            *(["dict", 0, ["none", 0], ["none", 0]], ["image", 0, "P", [0, 0]]),
            *(["image", 0, "RGB", [1, 1]], ["image", 0, "L", [0, 2**30]], ["scalar", 0, "|S0"]),
            *(["image", 3, "RGB", [-1, -1]], ["list of object", 0], ["list of int", 7]),
        )
    },
    **{
        f"the form {form}": put("form", form)
        for form in (
            [],
            ["value"],
            ["tuple", 3],
            ["set", 16],
            "dict",
            None,
            [["dict"]],
            {},
            ["dict"],
        )
    },
    "a column twice": lambda content: put("form", ["dict", *"abcdefghijklmnoo"])(content),
    "a column that is a number": put("form", ["dict", *range(16)]),
    **{
        f"the number {count}": put("count", count)
        for count in (0, -1, 7, 9, HUGE, 10**30, 8.0, "8", None, True, [8])
    },
    "layouts of 90 levels": with_layout("nothing", nested(90)),
    "layouts of 300 levels": with_layout("nothing", nested(300)),
    "no columns": put("columns", []),
    "columns that are none": put("columns", {"0": 1}),
    "a column that is none": put("columns", 0, None),
    "no layouts": put("columns", RAGGED, "layouts", []),
    "layouts that are none": put("columns", RAGGED, "layouts", "none"),
    "more to say": put("more", 1),
    "more of a column": put("columns", 0, "more", 1),
    "no digests": put("columns", 0, "data", "blocks", []),
    "a digest too many": lambda c: c["columns"][0]["data"]["blocks"].append("0" * 64),
    "an invalid digest": put("columns", 0, "data", "blocks", ["x" * 64]),
    "a digest that is a number": put("columns", 0, "data", "blocks", [7]),
    "a file that is none": put("columns", 0, "data", None),
    "a size that is none": put("columns", 0, "data", "size", -1),
    "codes without offsets": put("columns", RAGGED, "offsets", None),
    "offsets for one layout": lambda c: put(
        "columns", 0, "offsets", c["columns"][RAGGED]["offsets"]
    )(c),
    "a terabyte": put(*("columns", RAGGED, "data", {"size": 2**40, "blocks": ["0" * 64] * 2**18})),
}


@pytest.mark.parametrize("saying", SAYINGS)
def test_what_no_writer_says(cache: Path, saying: str) -> None:
    """Each has a matching digest."""
    entry = entry_in(cache)
    content = content_of(entry)
    SAYINGS[saying](content)
    assert repr(content) != repr(content_of(entry))
    write_content(entry, content)
    assert_rebuilt(cache)


@pytest.mark.parametrize(
    "text",
    [
        *("", "null", "[]", "7", '"x"', "{}", '{"content": 1}', '{"content": {}, "digest": {}}'),
        *("[" * 100_000, '{"a":' * 100_000, "NaN", '{"content": NaN, "digest": ""}', "\ufeff{}"),
        *("9" * 5000, '{"content": 1e999, "digest": ""}', '"\ud800"', "\x00"),
    ],
    ids=lambda text: ascii(text[:12]),
)
def test_what_is_no_json_of_ours(cache: Path, text: str) -> None:
    (entry_in(cache) / "entry.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    assert_rebuilt(cache, "is not valid (entry.json ")


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_layouts_that_are_read_are_safe_to_decode(data: st.DataObject) -> None:
    """Whatever the JSON contains, an accepted layout decodes to a value."""
    first = encode(data.draw(st.sampled_from(list(EXAMPLES[3].values()))))[0]
    words = ["list", "tuple", "dict", "tensor", "array", "image", "|O", "<U2", "L", "1", "<M8[s]"]
    leaves = st.none() | st.integers(-2, 9) | st.sampled_from([*words, HUGE, 2**31, 2**63, 0.5])
    trees = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4), max_leaves=6)
    layout = data.draw(mutated(_listed(first), trees))
    try:
        known = layout_of(layout)
    except InvalidFile:
        return
    if known[1] < 10_000:
        decode(known, torch.zeros(known[1], dtype=torch.uint8).numpy())


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value] if isinstance(value, tuple) else value


@st.composite
def mutated(draw: st.DrawFn, data: Any, trees: st.SearchStrategy[Any]) -> Any:
    """Lists with other values in some places."""
    if draw(st.integers(0, 5)) == 0:
        return draw(trees)
    if isinstance(data, list):
        return [draw(mutated(item, trees)) for item in data]
    return data


# The contents of its files


FILES = ("0.data", f"{RAGGED}.data", f"{RAGGED}.codes", f"{RAGGED}.offsets", "entry.json")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["flipped", "longer", "shorter", "empty", "missing"])
def test_damage(cache: Path, name: str, damage: str) -> None:
    file = entry_in(cache) / name
    data = bytearray(file.read_bytes())
    if damage == "missing":
        file.unlink()
    else:
        data[len(data) // 3] ^= 4
        changed = {"longer": data + b"\0", "shorter": data[:-1], "empty": b"", "flipped": data}
        file.write_bytes(changed[damage])
    assert_rebuilt(cache, name if damage != "flipped" else "")


INTERRUPTIONS = {
    "codes beyond the layouts": ("codes", "i", 3, 99),
    "codes before the layouts": ("codes", "i", 3, -1),
    "an offset beyond the end": ("offsets", "q", 3, 10**6),
    "an offset before the beginning": ("offsets", "q", 3, -8),
    "offsets that go back": ("offsets", "q", 3, 200),
    "an offset between two values": ("offsets", "q", 3, 9),
    "another beginning": ("offsets", "q", 0, 8),
    "another end": ("offsets", "q", 8, 0),
    "the least number": ("offsets", "q", 4, -(2**63)),
}


@pytest.mark.parametrize("cut", INTERRUPTIONS)
def test_cuts_at_wrong_places(cache: Path, cut: str) -> None:
    name, code, place, number = INTERRUPTIONS[cut]
    file = entry_in(cache) / f"{RAGGED}.{name}"
    data = bytearray(file.read_bytes())
    struct.pack_into(f"={code}", data, place * struct.calcsize(f"={code}"), number)
    file.write_bytes(data)
    update_digests(entry_in(cache))
    assert_rebuilt(cache, f"{RAGGED}.offsets")


def test_every_block_has_its_digest(tmp_path: Path) -> None:
    """Any block of a file with several blocks."""
    examples = [{"x": torch.full((2**18,), number)} for number in range(5)]
    _, stderr = filled(tmp_path / "cache", examples)
    file = entry_in(tmp_path / "cache") / "0.data"
    assert len(content_of(file.parent)["columns"][0]["data"]["blocks"]) == 3
    for place in (0, 5 * 2**20, 5 * 2**21 - 1):
        with file.open("r+b") as opened:
            opened.seek(place)
            opened.write(b"\x55")
        dataset, stderr = filled(tmp_path / "cache", examples)
        assert "rebuilt" in stderr
        assert complaint(dataset, examples) is None
        file = entry_in(tmp_path / "cache") / "0.data"


def test_truth_values_and_texts_that_are_none(cache: Path) -> None:
    """With matching digests, in examples that are not compared: computing with them is safe."""
    text = encode("é")[0]
    assert decode(encode(torch.tensor([True]))[0], _bytes(b"\x07")).tolist() == [True]
    assert decode(("array", 2, "|b1", (2,), None), _bytes(b"\x07\x00")).sum() == 1
    assert decode(("bool", 1), _bytes(b"\x07")) is True
    for layout, data in ((text, b"\xff\xff"), (("array", 4, "<U1", (1,), None), b"\xff" * 4)):
        with pytest.raises(Exception, match="a cache contains an invalid text"):
            decode(layout, _bytes(data))
    entry = entry_in(cache)
    file = entry / f"{column_of('truth')}.data"
    file.write_bytes(b"\x01\x00" + b"\x07" * 12 + b"\x01\x00")
    update_digests(entry)
    dataset, _ = filled(cache)
    assert int(dataset.columns_at([1, 2])["truth"].sum()) in (2, 4)


def _bytes(data: bytes) -> Any:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).numpy()


def test_every_example_is_compared_in_the_end(cache: Path) -> None:
    """Other examples with matching digests are detected within some runs."""
    entry = entry_in(cache)
    file = entry / f"{column_of('number')}.data"
    data = bytearray(file.read_bytes())
    data[8 * 3] = 77
    file.write_bytes(data)
    update_digests(entry)
    for _ in range(100):
        dataset, stderr = filled(cache)
        if "holds other examples" in stderr:
            break
    assert complaint(dataset) is None


# Other things in place of files


def odd(path: Path, kind: str, target: Path) -> None:
    """Replace a file or a folder by something else; the original is moved to ``target``."""
    if path.exists():
        path.rename(target)
    if kind == "link":
        path.symlink_to(target)
    elif kind == "hard link":
        os.link(target, path)
    elif kind == "link to a device":
        path.symlink_to("/dev/zero")
    elif kind == "dangling link":
        path.symlink_to(path.parent.parent.parent / "nowhere")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(os.path.relpath(path))


KINDS = ("link", "link to a device", "dangling link", "fifo", "folder", "socket")


@pytest.mark.parametrize("kind", [*KINDS, "hard link"])
@pytest.mark.parametrize("name", FILES)
def test_what_is_no_file(
    cache: Path, name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    odd(entry_in(cache) / name, kind, elsewhere / "kept")
    before, age = tree(elsewhere), (elsewhere / "kept").stat().st_mtime_ns
    assert_rebuilt(cache, name)
    assert tree(elsewhere) == before
    assert (elsewhere / "kept").stat().st_mtime_ns == age
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_entry(
    cache: Path, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    odd(entry_in(cache), kind, tmp_path / "elsewhere")
    before = tree(tmp_path / "elsewhere")
    assert_rebuilt(cache)
    assert tree(tmp_path / "elsewhere") == before
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "folder"])
def test_a_lock_that_is_none(
    cache: Path, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    odd(cache / ".lock", kind, tmp_path / "elsewhere")
    mode = (tmp_path / "elsewhere").stat().st_mode
    assert_found(cache)
    (entry_in(cache) / "0.data").unlink()
    dataset, stderr = filled(cache)
    assert f"{cache / '.lock'} is not a regular file" in stderr
    assert complaint(dataset) is None
    assert (tmp_path / "elsewhere").stat().st_mode == mode
    assert not (tmp_path / "nowhere").exists()


def test_links_among_entries_lead_nowhere(cache: Path, tmp_path: Path) -> None:
    """Eviction neither removes the targets of links, nor hangs on special files."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "letter.txt").write_text("x" * 5000)
    for number, key in enumerate(("a", "b", "c", "d")):
        other = cache / (key * 64)
        other.mkdir()
        (other / "linked").symlink_to(precious)
        (other / "inner").mkdir()
        (other / "inner" / "letter").symlink_to(precious / "letter.txt")
        if number == 0:
            (other / "entry.json").symlink_to(precious / "letter.txt")
        elif number == 1:
            os.mkfifo(other / "entry.json")
    (cache / ("e" * 64)).symlink_to(precious)
    (cache / ".aside-f").symlink_to(precious)
    (cache / ".aside-g").mkdir()
    os.mkfifo(cache / ".aside-g" / "entry.json")
    store = DiskStore(cache, 1, "")
    gc.collect()
    store.folder._make_room(0, cache / "none")
    with store.folder.aside():
        pass
    assert (precious / "letter.txt").read_text() == "x" * 5000
    assert sorted(path.name for path in precious.iterdir()) == ["letter.txt"]


def test_a_deep_tree_among_entries(cache: Path) -> None:
    """As unpacking an archive leaves it: no error."""
    entry = entry_in(cache)
    (entry / "entry.json").write_text("{}")
    with deep_tree(entry):
        assert_rebuilt(cache)


def test_a_deep_tree_among_data(tmp_path: Path) -> None:
    with deep_tree(tmp_path / "data"):
        (tmp_path / "data" / "a.txt").touch()
        found = stamps_of([str(tmp_path / "data")], besides=tmp_path / "cache")
        assert [Path(path).name for path, *_ in found] == ["data", "a.txt"]


@contextlib.contextmanager
def deep_tree(folder: Path) -> Iterator[None]:
    """Nested folders, deeper than Python's recursion limit; they are removed afterwards."""
    here = os.getcwd()
    try:
        folder.mkdir(exist_ok=True)
        os.chdir(folder)
        for _ in range(1500):
            os.mkdir("d")
            os.chdir("d")
        os.chdir(here)
        yield
    finally:
        os.chdir(here)
        # pytest cannot remove them either.
        subprocess.run(["rm", "-rf", str(folder.parent)], check=True)


# Ownership


def test_it_is_ones_own(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        filled(tmp_path / "deep" / "cache")
    finally:
        os.umask(before)
    found = [tmp_path / "deep" / "cache", *(tmp_path / "deep" / "cache").rglob("*")]
    modes = {path.name: stat.S_IMODE(path.lstat().st_mode) for path in found}
    assert {mode for name, mode in modes.items() if "." not in name} == {0o700}
    assert {mode for name, mode in modes.items() if "." in name} == {0o600}


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container with a user that has no name."""
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    for name in ("HOME", "XDG_CACHE_HOME", "TORCHASSISTANT_CACHE"):
        monkeypatch.delenv(name, raising=False)
    assert cache_folder().name == f"torchassistant-{os.geteuid()}"


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o702])
def test_a_folder_that_others_may_write_to(cache: Path, mode: int) -> None:
    before = tree(cache)
    cache.chmod(mode)
    assert_not_cached(
        cache, f"{cache} may be written to by others, and a cache is kept in a folder"
    )
    assert tree(cache) == before


def test_a_folder_that_others_may_read(cache: Path, tmp_path: Path) -> None:
    """Access is removed, unless it contains more than caches."""
    cache.chmod(0o755)
    assert_found(cache)
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    (cache / "homework").touch()
    cache.chmod(0o755)
    assert_found(cache)
    assert stat.S_IMODE(cache.stat().st_mode) == 0o755


@pytest.mark.parametrize("name", ["", "0.data", "entry.json", f"{RAGGED}.codes"])
def test_an_entry_that_others_may_write_to(cache: Path, name: str) -> None:
    path = entry_in(cache) / name
    path.chmod(path.stat().st_mode | 0o020)
    assert_rebuilt(cache, "may be written to by others")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("name", ["", "0.data", "entry.json", f"{RAGGED}.codes"])
def test_an_entry_of_another_user(cache: Path, name: str) -> None:
    os.chown(entry_in(cache) / name, 12345, 12345)
    assert_rebuilt(cache, "belongs to another user")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_folder_of_another_user(cache: Path) -> None:
    before = tree(cache)
    os.chown(cache, 12345, 12345)
    assert_not_cached(cache, f"{cache} belongs to another user")
    assert tree(cache) == before


@pytest.mark.parametrize("kind", [*(k for k in KINDS if k != "folder"), "file"])
def test_a_folder_that_is_none(
    cache: Path, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    odd(cache, kind, tmp_path / "elsewhere")
    if kind == "file":
        cache.write_text("in the way")
    before = tree(tmp_path / "elsewhere")
    assert_not_cached(cache, f"{cache} is ")
    assert tree(tmp_path / "elsewhere") == before
    assert not (tmp_path / "nowhere").exists()
