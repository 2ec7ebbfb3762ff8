"""JSON with comments and positions."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchassistant.config.json_reader import scan_json
from torchassistant.config.reader import read_file, read_text
from torchassistant.config.text import MAX_BYTES, MAX_DEPTH
from torchassistant.config.tree import place_of
from torchassistant.errors import ConfigError

scalars = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**30), max_value=10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
documents = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(documents, st.sampled_from([None, 2]), st.booleans())
def test_reads_what_json_writes(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert read_text(text) == value


@settings(max_examples=300)
@given(st.text(alphabet='{}[]",:/*\\ \n01.eE+-truefalsn\ud800é', max_size=60))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    try:
        value = read_text(text, "c.json")
    except ConfigError as error:
        assert all(problem.place.line >= 1 for problem in error.problems)
    else:
        assert json.loads(json.dumps(value)) == value


def test_the_form_is_that_of_the_name() -> None:
    assert scan_json("a: 1", "c.yaml").problems and not scan_json("{}").problems
    assert read_text("a: 1", "c.yaml") == read_text('{"a": 1}', "c.json") == {"a": 1}


def test_comments_stand_between_tokens() -> None:
    text = """// first
    { /* a */ "a" /* b */ : // c
      [1, /* 2, */ 3], "url": "http://x//y /* no comment */" } // end"""
    assert read_text(text) == {"a": [1, 3], "url": "http://x//y /* no comment */"}


def test_positions_count_from_one() -> None:
    tree = read_text('{\n  "a": [10,\n   {"b": 2}]\n}', "c.json")
    assert str(place_of(tree, ("a", 1, "b"))) == "c.json:3:10: a[1].b"
    assert str(place_of(tree, ("a", 1, "b"), at_key=True)) == "c.json:3:5: a[1].b"
    assert str(place_of(tree, ("a", 0))) == "c.json:2:9: a[0]"
    assert str(place_of(tree, ("a", 1, "missing", "x"))) == "c.json:3:4: a[1].missing.x"


@pytest.mark.parametrize(
    ("text", "line", "column", "sentence"),
    [
        ("", 1, 1, "the file ends"),
        ("{", 1, 2, "a key in quotes"),
        ('{"a": 1,}', 1, 9, "a comma is not allowed before the closing brace"),
        ("[1,]", 1, 4, "a comma is not allowed before the closing bracket"),
        ('{"a": 1 "b": 2}', 1, 9, "a comma or a closing brace"),
        ('{"a" 1}', 1, 6, "a colon was expected"),
        ("{} {}", 1, 4, "nothing may follow"),
        ('{"a": NaN}', 1, 7, '"NaN" is not a JSON value'),
        ('{"a": -Infinity}', 1, 7, "not a valid JSON number"),
        ('{"a": 1e999}', 1, 7, "too large"),
        ('{"a": 01}', 1, 7, "not a valid JSON number"),
        ('{"a": 0x10}', 1, 7, "not a valid JSON number"),
        ('{"a": 1.}', 1, 7, "not a valid JSON number"),
        ('{"a": ]}', 1, 7, "a value was expected"),
        ('{"a": "\\ud800"}', 1, 7, "surrogate"),
        ('{"a": "x\n"}', 1, 9, "control character"),
        ('{"a": "x', 1, 7, "unterminated"),
        ("[/* x", 1, 2, "no end"),
        ("[True]", 1, 2, '"True" is not a JSON value'),
    ],
)
def test_refuses(text: str, line: int, column: int, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_text(text, "c.json")
    (problem,) = caught.value.problems
    assert (problem.place.line, problem.place.column) == (line, column)
    assert sentence in problem.message


def test_every_duplicate_key_is_told() -> None:
    with pytest.raises(ConfigError) as caught:
        read_text('{"a": 1,\n "a": 2,\n "b": {"c": 1, "c": 2}}', "c.json")
    places = [(p.place.line, p.place.column) for p in caught.value.problems]
    assert places == [(2, 2), (3, 16)]


def test_bounds(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"deeper than {MAX_DEPTH}"):
        read_text("[" * 5000)
    large = tmp_path / "large.json"
    with large.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ConfigError, match="bytes"):
        read_file(large)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": "\xc3\xa9"}')
    assert read_file(path).tree == {"a": "é"}
    path.write_bytes(b'{\n"a": "\xff"}')
    with pytest.raises(ConfigError, match=r"c\.json:2:7: this byte is not UTF-8"):
        read_file(path)
    with pytest.raises(ConfigError, match="cannot read the file: No such file"):
        read_file(tmp_path / "none.json")
    with pytest.raises(ConfigError, match="cannot read the file: Is a directory"):
        read_file(tmp_path)


def test_a_fifo_is_read_where_somebody_writes_to_it(tmp_path: Path) -> None:
    fifo = tmp_path / "c.json"
    os.mkfifo(fifo)
    text = read_file(fifo)  # and hangs nobody
    assert text.tree is None and text.problems
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with open(fifo, "wb") as writing:
        writing.write(b'{"seed": 1}')
        handle = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        os.close(reading)
        writer = threading.Timer(0.2, writing.close)
        writer.start()
        assert not read_file(f"/dev/fd/{handle}").problems
        writer.join()
    os.close(handle)
