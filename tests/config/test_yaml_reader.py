"""YAML with JSON's scalars, and with the position of everything."""

from __future__ import annotations

import itertools
import json
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_reader import documents as documents_of_json

from torchassistant.config import yaml_reader
from torchassistant.config.forms import as_yaml, scan
from torchassistant.config.reader import read_file, read_text
from torchassistant.config.text import MAX_DEPTH, Text
from torchassistant.config.tree import UNREADABLE, Row, Table, path_text, place_of, walk
from torchassistant.config.yaml_reader import meaning
from torchassistant.errors import ConfigError


def has_short_keys(value: Any) -> bool:
    """Whether every key is one of YAML, which takes 1024 characters as they are written."""
    keys = (step for path, _ in walk(value) for step in path[-1:])
    return all(len(json.dumps(key)) < 1000 for key in keys)


documents = documents_of_json.filter(has_short_keys)


def problems(text: str) -> list[str]:
    return [str(problem) for problem in scan(text, "c.yaml").problems]


# Scalars

SCALARS = [
    # JSON's words and numbers
    *(("null", None), ("true", True), ("false", False)),
    *(("0", 0), ("-7", -7), ("1.5", 1.5), ("1e-3", 0.001), ("1e3", 1000.0), ("1.5E+3", 1500.0)),
    # on which the versions of YAML agree
    *(("~", None), ("Null", None), ("NULL", None), ("", None)),
    *(("True", True), ("TRUE", True), ("False", False), ("FALSE", False)),
    *(("+1", 1), (".5", 0.5), ("-.5", -0.5), ("1.", 1.0)),
    # texts, whatever YAML 1.1 makes of them
    *((word, word) for word in ("no", "No", "yes", "on", "off", "y", "n", "N")),
    *((word, word) for word in ("1:30", "190:20:30", "2024-01-01", "2024-01-01T10:00:00Z")),
    *((word, word) for word in ("1.2.3", "1e", "e3", "nan", "Infinity", "None", "=", "a:b", "==")),
    *(('"012"', "012"), ("'~'", "~"), ('"1_000"', "1_000"), ('"true"', "true"), ("'1'", "1")),
    ('"a\\tb\\u00e9\\/"', "a\tbé/"),
    ('"\\ud83d\\ude00"', "😀"),
]


@pytest.mark.parametrize(("word", "value"), SCALARS)
def test_scalars(word: str, value: Any) -> None:
    for text in (
        f"a: {word}\n",
        f"a: [{word or '~'}, 1]\n",
        f"{{a: {word}}}\n",
        f"a:\n  - {word}\n",
    ):
        found = read_text(text, "c.yaml")["a"]
        found = found[0] if isinstance(found, list) else found
        assert found == value and type(found) is type(value), text


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        *((w, f'write a text as "{w}"') for w in ("012", "00", "08", "-012", "0o17", "0x1F")),
        *((w, f'write a text as "{w}"') for w in ("0b11", "1_000", "1_0.5", "012.5")),
        *((w, f"JSON has no number {w}") for w in (".inf", "-.inf", "+.INF", ".nan", ".NaN")),
        ("1e400", "this number is too large"),
        ("1" * 401, "too many digits"),
        ('"\\ud83d"', "half of a surrogate pair"),
        ("!!str 1", 'a config has no tags; found "!!str"'),
        ("!foo 1", 'a config has no tags; found "!foo"'),
        ("!!python/object/apply:os.system [x]", 'found "!!python/object/apply:os.system"'),
        ("!!binary aGk=", 'found "!!binary"'),
    ],
)
def test_ambiguous_scalars_are_refused(word: str, sentence: str) -> None:
    text = scan(f"b: 1\na: {word}\n", "c.yaml")
    (problem,) = text.problems
    assert sentence in problem.message
    assert (problem.place.line, problem.place.column) == (2, 4)
    assert text.tree == {"b": 1, "a": UNREADABLE}


def test_texts_of_several_lines() -> None:
    text = "a: |\n  one\n  two\nb: >-\n  one\n  two\nc: one\n  two\nd: 'it''s'\n"
    expected = {"a": "one\ntwo\n", "b": "one two", "c": "one two", "d": "it's"}
    assert read_text(text, "c.yaml") == expected


# Keys


def test_keys_are_texts() -> None:
    assert read_text("no: 1\non: 2\n2024-01-01: 3\n", "c.yaml") == {
        "no": 1,
        "on": 2,
        "2024-01-01": 3,
    }
    assert problems("a:\n  1: x\n  null: y\n  .5: z\n  [b]: w\n") == [
        'c.yaml:2:3: a key is a text; in quotes it is one: "1"',
        'c.yaml:3:3: a key is a text; in quotes it is one: "null"',
        'c.yaml:4:3: a key is a text; in quotes it is one: ".5"',
        "c.yaml:5:3: a key is a text, and no object or list",
    ]


def test_every_duplicate_is_told_with_both_places() -> None:
    assert problems("a: 1\nb: {c: 1, c: 2}\na: 2\n") == [
        'c.yaml:2:11: the key "c" is given twice in one object (first in line 2)',
        'c.yaml:3:1: the key "a" is given twice in one object (first in line 1)',
    ]
    assert problems("x: &a 1\ny: &a 2\nz: *a\n") == [
        'c.yaml:2:4: the anchor "&a" is given twice (first in line 1)'
    ]


# Anchors


def test_aliases_are_copies_at_their_places() -> None:
    tree = read_text("a: &a\n  b: [1]\nc: *a\nd: &n 3\ne: [*n, *a]\n", "c.yaml")
    assert tree == {"a": {"b": [1]}, "c": {"b": [1]}, "d": 3, "e": [3, {"b": [1]}]}
    assert tree["a"] is not tree["c"] and tree["a"]["b"] is not tree["c"]["b"]
    assert str(place_of(tree, ("c",))) == "c.yaml:3:4: c"
    assert str(place_of(tree, ("e", 0))) == "c.yaml:5:5: e[0]"
    # What is wrong inside is corrected where it is written.
    assert str(place_of(tree, ("c", "b", 0))) == "c.yaml:2:7: c.b[0]"


def test_merge_keys() -> None:
    text = """
x: &x {a: 1, b: 1}
y: &y {b: 2, c: 2}
one: {<<: *x, b: 3, d: 3}
two:
  c: 4
  <<: [*x, *y]
inline:
  <<: {e: 5}
text: {"<<": 6}
"""
    tree = read_text(text, "c.yaml")
    assert tree["one"] == {"a": 1, "b": 3, "d": 3}
    assert tree["two"] == {"a": 1, "b": 1, "c": 4}  # of several, the first counts
    assert tree["inline"] == {"e": 5}
    assert tree["text"] == {"<<": 6}
    assert str(place_of(tree, ("one", "b"))) == "c.yaml:4:18: one.b"
    assert str(place_of(tree, ("one", "a"))) == "c.yaml:2:11: one.a"
    assert problems("a: {<<: 1}\nb: {<<: [{}, 2]}\nc:\n  <<: {d: 1}\n  <<: {e: 1}\n") == [
        'c.yaml:1:9: "<<" takes an object, or a list of objects',
        'c.yaml:2:9: "<<" takes an object, or a list of objects',
        'c.yaml:5:3: the key "<<" is given twice in one object (first in line 4); '
        "several are written in a list",
    ]


def test_wrong_aliases() -> None:
    assert problems("a: &lr 1\nb: *lt\nc: &c [*c]\nd: &d {<<: *d}\n") == [
        'c.yaml:2:4: no anchor is named "&lt"; did you mean "&lr"?',
        'c.yaml:3:8: "*c" stands within what it stands for',
        'c.yaml:4:12: "*d" stands within what it stands for',
    ]


BOMBS = {
    "lists": ("[x, x, x, x, x, x, x, x, x, x]", "[{}]", "{alias}"),
    "objects": ("{x: 1, y: 2}", "{{{}}}", "k{index}: {alias}"),
    "merges": ("{x: 1, y: 2}", "{{{}}}", "k{index}: {{<<: [{alias}, {alias}]}}"),
    "texts": ("x" * 1000, "[{}]", "{alias}"),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_an_alias_bomb_is_refused_at_once(kind: str) -> None:
    first, around, item = BOMBS[kind]
    lines = [f"a0: &a0 {first}"]
    for level in range(1, 30):
        items = (item.format(index=index, alias=f"*a{level - 1}") for index in range(10))
        lines.append(f"a{level}: &a{level} {around.format(', '.join(items))}")
    tracemalloc.start()
    begun = time.process_time()
    found = problems("\n".join(lines))
    assert time.process_time() - begun < 5  # a second without tracemalloc, on a free machine
    assert tracemalloc.get_traced_memory()[1] < 200e6
    tracemalloc.stop()
    (message,) = found
    assert "aliases add more than 1,048,576 characters to the config" in message


def test_depth_is_bounded() -> None:
    for text in ("[" * 5000, "- " * 5000, "? " * 5000, "{a: " * 5000):
        assert len(problems(text)) == 1 and f"deeper than {MAX_DEPTH}" in problems(text)[0]
    lines = ["a0: &a0 [1]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 120))]
    assert (
        f'with "*a{MAX_DEPTH - 2}" put in, this is nested deeper' in problems("\n".join(lines))[0]
    )


def test_further_documents_are_told_with_all_else() -> None:
    text = "a: 1\na: 2\n---\nb: &x 012\n---\nc: &x 1\nd: [\n"
    found = scan(text, "c.yaml")
    assert [(p.place.line, p.message.partition(",")[0]) for p in found.problems] == [
        (2, 'the key "a" is given twice in one object (first in line 1)'),
        (3, "a config is one document"),
        (4, 'not every reader of YAML takes 012 for the same: write a text as "012"'),
        (5, "a config is one document"),
        (8, "this is no YAML: expected the node content"),
    ]
    assert found.tree is not None


# Text that is no YAML


@pytest.mark.parametrize(
    ("text", "line", "column", "sentence"),
    [
        ("", 1, 1, "the file ends"),
        ("# nothing\n", 1, 1, "the file ends"),
        ("a:\n\tb: 1", 2, 1, "a tab cannot stand here"),
        ("a: 1\n---\nb: 2", 2, 1, "a config is one document"),
        ("a: @x", 1, 4, 'a text that begins with "@" stands in quotes'),
        ("a: `x`", 1, 4, 'a text that begins with "`" stands in quotes'),
        ("a: %x", 1, 4, 'a text that begins with "%" stands in quotes'),
        ("a: b: c", 1, 5, "this colon cannot stand here"),
        ("key\nother: 1", 2, 6, "this colon cannot stand here"),
        ("a: 1\nb\nc: 2", 2, 1, "a colon and a blank were expected behind this key"),
        ("a: [1, 2\nb: 3", 2, 2, "a closing bracket was expected"),
        ("a: {b: 1\nc: 2", 2, 2, "a closing brace was expected"),
        ('a: "x', 1, 4, "this string has no closing quote"),
        ('a: "\\d"', 1, 6, '"\\d" means nothing in double quotes; write "\\\\d"'),
        ('a: "\\UFFFFFFFF"', 1, 7, "an escape that is no character"),
        ("- a\nb: 1", 2, 1, "this does not belong to the list that begins in line 1"),
        ("a: {}\n b: 1", 2, 2, "this does not belong to the object that begins in line 1"),
        ("a: 'it's'", 1, 8, "are texts in quotes as a whole?"),
        ("a: - b", 1, 4, "a list begins in a line of its own"),
        ("a: &", 1, 5, "a name was expected"),
        ("a: \x00", 1, 4, "the character U+0000 cannot stand here"),
        ("%YAML 2.0\n---\na: 1", 1, 1, "this is no YAML: found incompatible YAML document"),
        ("a: !x!y 1", 1, 4, "this is no YAML: found undefined tag handle '!x!'"),
    ],
)
def test_refuses(text: str, line: int, column: int, sentence: str) -> None:
    (problem,) = scan(text, "c.yaml").problems
    assert sentence in problem.message
    assert (problem.place.line, problem.place.column) == (line, column)


@settings(max_examples=300)
@given(st.text(alphabet="{}[]\"',:#&*!|>%@-?<~ \n\t\r01.e\\xab\ud800é\x85", max_size=60))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    found = scan(text, "c.yaml")
    assert all(problem.place.line >= 1 for problem in found.problems)
    if not found.problems:
        assert json.loads(json.dumps(found.tree)) == found.tree


def test_files(tmp_path: Path) -> None:
    for name in ("c.yaml", "c.yml", "C.YAML"):
        path = tmp_path / name
        path.write_bytes(b"\xef\xbb\xbfa: \xc3\xa9\r\nb:\r\n  c: 1\r\n")
        assert read_file(path).tree == {"a": "é", "b": {"c": 1}}
        path.write_bytes(b"a: 1\nb: \xff\n")
        with pytest.raises(ConfigError, match=r"2:4: this byte is not UTF-8"):
            read_file(path)
        path.write_bytes("a: é\n".encode("utf-16"))
        with pytest.raises(ConfigError, match="this byte is not UTF-8"):
            read_file(path)
    assert problems("---\na: 1\n...\n") == [] and problems("%YAML 1.2\n---\na: 1\n") == []


# All of JSON, in YAML


def by_hand(value: Any, indent: int = 0) -> str:
    """Block style, as a person writes it; every text in JSON's quotes."""
    pad = " " * indent
    if isinstance(value, dict) and value:
        return "".join(
            f"\n{pad}{json.dumps(key)}:{by_hand(value[key], indent + 2)}" for key in value
        )
    if isinstance(value, list) and value:
        return "".join(f"\n{pad}-{by_hand(item, indent + 2)}" for item in value)
    return f" {json.dumps(value, ensure_ascii=False)}"


def texts(value: Any) -> list[str]:
    """All texts, of keys too."""
    found = [item for _, item in walk(value) if isinstance(item, str)]
    return found + [step for path, _ in walk(value) for step in path[-1:] if isinstance(step, str)]


def is_the_same_without_quotes(text: str) -> bool:
    """Whether PyYAML's texts without quotes are texts here too: its numbers are not JSON's."""
    try:
        is_one = meaning(text) == text or yaml.safe_load(text) != text
        return is_one and "\x85" not in text  # which PyYAML does not read back either
    except (ValueError, yaml.YAMLError):
        return False


@settings(max_examples=60)
@given(documents, st.sampled_from([None, True, False]), st.booleans(), st.sampled_from([20, 80]))
def test_reads_what_pyyaml_writes(value: Any, flow: bool | None, escaped: bool, width: int) -> None:
    assume(all(map(is_the_same_without_quotes, texts(value))))
    written = yaml.safe_dump(
        value, default_flow_style=flow, allow_unicode=not escaped, width=width, sort_keys=False
    )
    assert read_text(written, "c.yaml") == value


@settings(max_examples=60)
@given(documents)
def test_reads_json_and_blocks_and_what_is_written_here(value: Any) -> None:
    assert read_text(json.dumps(value), "c.yaml") == value
    assert read_text(json.dumps(value, indent=2), "c.yaml") == value
    block = by_hand(value).lstrip("\n")
    if all(text.isprintable() for text in texts(value)):
        assert read_text(block, "c.yaml") == value
    written = as_yaml(value)
    found = read_text(written, "c.yaml")
    assert found == value
    assert json.dumps(found) == json.dumps(value)  # 1 is not 1.0 and keys keep their order


@settings(max_examples=40)
@given(documents)
def test_positions_are_where_things_stand(value: Any) -> None:
    text = json.dumps(value, indent=1)
    as_json, tree = read_text(text, "c"), read_text(text, "c.yaml")
    for path, _ in walk(value):
        for at_key in (False, True):
            one, other = (place_of(t, path, "", at_key) for t in (as_json, tree))
            assert (one.line, one.column) == (other.line, other.column), path_text(path)
    assert type(tree) is type(as_json)
    assert isinstance(tree, (Table, Row)) == isinstance(value, (dict, list))


# The parser in C, and the one in Python


def placed(text: Text) -> tuple[Any, list[Any], list[str]]:
    """A tree with the place of every key and value, and its problems."""
    places = [
        (path, at_key, place_of(text.tree, path, "", at_key))
        for path, _ in walk(text.tree)
        for at_key in (False, True)
    ]
    return text.tree, places, [str(problem) for problem in text.problems]


def expect_the_same(text: str) -> None:
    by_c = placed(scan(text, "c.yaml"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml_reader, "IN_C", None)
        assert placed(scan(text, "c.yaml")) == by_c, text


needs_c = pytest.mark.skipif(yaml_reader.IN_C is None, reason="PyYAML has no parser in C here")
LETTERS = "a \n-:,[]{}\"'#&*!|>?%\\1.\t"
PIECES = [
    *LETTERS,
    *("\n  ", "\n- ", ": ", "- ", "a: ", "&a ", "*a ", "<<: ", '"x"', "'y'", "|\n", ">-\n", "|2\n"),
    *("# c\n", "? ", "[a, b]", "{a: b}", "\n---\n", "\n...\n", "\r\n", "é", "😀", "\x85", "\u2028"),
    *("\\x41", "''", "a b", "a#b", "::", "- - ", "!!str ", "@", "`", "~", "=", "\u3000", "\ufeff"),
]


@needs_c
@settings(max_examples=500)
@given(st.lists(st.sampled_from(PIECES), max_size=16).map("".join))
def test_both_parsers_read_the_same(text: str) -> None:
    expect_the_same(text)


@needs_c
@settings(max_examples=40)
@given(documents, st.sampled_from([None, True, False]), st.booleans())
def test_both_parsers_read_the_same_documents(value: Any, flow: bool | None, known: bool) -> None:
    expect_the_same(yaml.safe_dump(value, default_flow_style=flow, allow_unicode=known))
    expect_the_same(as_yaml(value))


@needs_c
@pytest.mark.slow
@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_both_parsers_read_the_same_short_texts(length: int) -> None:
    for letters in itertools.product(LETTERS, repeat=length):
        expect_the_same("".join(letters))


@needs_c
def test_a_config_is_read_by_the_parser_in_c(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_reader, "SafeLoader", None)
    text = "a: &a {b: [1, 'é?'], c: \"d: e\"}\nf: *a  # g\nh: |\n  i\n"
    inside = {"b": [1, "é?"], "c": "d: e"}
    assert read_text(text.replace("?", ""), "c.yaml")["f"] == {**inside, "b": [1, "é"]}
    with pytest.raises(TypeError):
        scan(text, "c.yaml")
