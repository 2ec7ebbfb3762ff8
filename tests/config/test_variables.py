"""Variables in strings of a config."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchassistant.config.reader import read_text
from torchassistant.config.text import MAX_DEPTH
from torchassistant.config.tree import UNREADABLE, Path, as_tree, path_text, place_of
from torchassistant.config.variables import MAX_TEXT, substitute

ENVIRONMENT = {"HOME": "/home/me", "EMPTY": "", "REFERENCE": "${lr}", "BYTES": "\udcff"}

VARIABLES: dict[str, Any] = {
    "lr": 0.001,
    "n": 3,
    "name": "net",
    "on": True,
    "nothing": None,
    "list": [1, {"a": "${n}"}],
    "object": {"lr": "${lr}", "list": "${list}"},
    "title": "${name} with ${lr}",
    "with-dash_1": "${env:HOME}/${name}",
    "literal": "$${lr}",
}


def substituted(tree: Any) -> tuple[Any, list[tuple[str, str]], set[Path]]:
    """The tree with variables put in, the problems as (path, message), and what was left."""
    tree = as_tree(tree)
    problems: list[tuple[str, str]] = []
    left = substitute(
        tree, ENVIRONMENT, lambda message, path: problems.append((path_text(path), message))
    )
    return tree, problems, left


GOOD: list[tuple[str, Any]] = [
    ("", ""),
    ("plain $ {} $name", "plain $ {} $name"),
    ("${lr}", 0.001),
    ("${n}", 3),
    ("${name}", "net"),
    ("${on}", True),
    ("${nothing}", None),
    ("${list}", [1, {"a": 3}]),
    ("${object}", {"lr": 0.001, "list": [1, {"a": 3}]}),
    ("${title}", "net with 0.001"),
    ("${with-dash_1}", "/home/me/net"),
    ("${name}.train", "net.train"),
    ("${on}, ${nothing}, ${n}${n}", "true, null, 33"),
    (" ${n}", " 3"),
    ("${env:HOME}/data", "/home/me/data"),
    ("${oc.env:HOME}/data", "/home/me/data"),
    ("${env:HOME,/tmp}", "/home/me"),
    ("${env:NONE,/tmp}/data", "/tmp/data"),
    ("${oc.env:NONE, a, b }", "a, b"),
    ("${env:NONE,}", ""),
    ("${env:NONE,3}", "3"),
    ("${env:EMPTY}", ""),
    ("${env:REFERENCE}", "${lr}"),
    ("$${", "${"),
    ("$${lr}", "${lr}"),
    ("$$${lr}", "$${lr}"),
    ("${name}$${name}", "net${name}"),
    ("${literal}", "${lr}"),
    ("${literal}!", "${lr}!"),
]


@pytest.mark.parametrize(("text", "expected"), GOOD)
def test_what_a_string_becomes(text: str, expected: Any) -> None:
    source = {"variables": VARIABLES, "a": [{"b": text}]}
    tree, problems, left = substituted(source)
    assert (tree, problems, left) == ({"a": [{"b": expected}]}, [], set())
    assert json.dumps(tree["a"][0]["b"]) == json.dumps(expected)  # 3 is not 3.0, True not 1


NO_NAME = 'the environment has no variable "NAME"; "${env:NAME,TEXT}" says what stands in for it'
BAD: list[tuple[str, str]] = [
    ("${lrr}", 'no variable is named "lrr"; did you mean "lr"?'),
    ("a ${lrr} b ${lrr}", 'no variable is named "lrr"; did you mean "lr"?'),
    ("${env:NAME}", NO_NAME),
    ("${oc.env:NAME}", NO_NAME),
    ("${env:NAME,${lr}}", 'what stands in for "NAME" is plain text, and can use no "${"'),
    ("${oc.create:NAME}", '"${oc.create:NAME}" names no variable'),
    ("${env:BYTES}", 'the environment variable "BYTES" is not UTF-8 text'),
    ("the ${list}", '"list" is a list, which cannot stand inside a longer string, only alone: '),
    ("${object}${object}", '"object" is an object, which cannot stand inside a longer string'),
    ("${n} and ${name", 'this "${" is never closed by a "}"'),
    ("${}", '"${}" names no variable; write "${name}" or "${env:NAME}", and "$${" for a plain'),
    ("${a b}", '"${a b}" names no variable'),
    ("${ n }", '"${ n }" names no variable'),
    ("${1st}", '"${1st}" names no variable'),
    ("${env:}", '"${env:}" names no variable'),
    ("${name${n}}", '"${name${n}" names no variable'),
    ("${" + "a " * 1000 + "}", '"${' + "a " * 20 + '…}" names no variable'),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_a_bad_reference_is_told_once_and_left(text: str, message: str) -> None:
    source = {"variables": VARIABLES, "a": [{"b": text}], "c": "${n}"}
    tree, problems, left = substituted(source)
    assert tree == {"a": [{"b": text}], "c": 3}
    assert left == {("a", 0, "b")}
    ((path, found),) = problems
    assert path == "a[0].b"
    assert found.startswith(message)


def test_every_bad_reference_of_a_string_is_told() -> None:
    _, problems, _ = substituted({"a": "${x} ${env:NAME}"})
    assert problems == [
        ("a", 'no variable is named "x"'),
        ("a", NO_NAME),
    ]


BAD_VARIABLES: list[tuple[Any, list[tuple[str, str]]]] = [
    ({"a": "${b}", "b": "${c}"}, [("variables.b", 'no variable is named "c"')]),
    ({"a": {"x": ["${env:NO}"]}}, [("variables.a.x[0]", "the environment has no variable")]),
    ({"a": "${a}"}, [("variables.a", "this variable is made of itself: a → a")]),
    (
        {"a": "${b}", "b": ["${c}", "${c}"], "c": {"x": "is ${a}"}},
        [("variables.a", "this variable is made of itself: a → b → c → a")],
    ),
    (
        {"a": "${b}", "b": "${c}", "c": "${b}"},
        [("variables.b", "this variable is made of itself: b → c → b")],
    ),
    (
        {"a": "${x}", "x": "${x}", "y": "${y}"},
        [
            ("variables.x", "this variable is made of itself: x → x"),
            ("variables.y", "this variable is made of itself: y → y"),
        ],
    ),
    ({"a b": 1, "a": "${a b}"}, [("variables.a b", '"a b" cannot be the name of a variable')]),
    ({"": 1, "a": "${}"}, [("variables.", '"" cannot be the name of a variable')]),
    (["a"], [("variables", '"variables" is an object of names and values, not a list')]),
    (None, [("variables", '"variables" is an object of names and values, not a plain value')]),
    ("${a}", [("variables", '"variables" is an object of names and values, not a plain value')]),
]


@pytest.mark.parametrize(("variables", "expected"), BAD_VARIABLES)
def test_a_bad_variable_is_told_once_at_its_own_place(
    variables: Any, expected: list[tuple[str, str]]
) -> None:
    tree, problems, left = substituted({"variables": variables, "u": ["${a}", "x ${a}"]})
    assert tree == {"u": ["${a}", "x ${a}"]}
    assert left == {("u", 0), ("u", 1)}
    assert [path for path, _ in problems] == [path for path, _ in expected]
    for (_, found), (_, message) in zip(problems, expected, strict=True):
        assert found.startswith(message)


def test_what_the_reader_told_is_not_told_again() -> None:
    uses = {"a": "${v}", "b": "x ${v}"}
    for variables in (UNREADABLE, {"v": UNREADABLE}, {"w": UNREADABLE, "v": "${w}"}):
        assert substituted({"variables": variables, **uses}) == (uses, [], {("a",), ("b",)})
    tree, problems, _ = substituted({"variables": {"v": [UNREADABLE]}, "a": "${v}"})
    assert (tree, problems) == ({"a": [UNREADABLE]}, [])


def test_a_long_circle_is_cut() -> None:
    variables = {f"v{i}": f"${{v{(i + 1) % 5000}}}" for i in range(5000)}
    _, ((path, message),), left = substituted({"variables": variables, "a": "${v9}"})
    assert path == "variables.v0"
    assert message.endswith("v10 → v11 → … → v0")
    assert left == {("a",)}


def test_a_long_chain_is_no_problem() -> None:
    variables = {f"v{i}": f"${{v{i + 1}}}" for i in range(5000)}
    assert substituted({"variables": {**variables, "v5000": 1}, "a": "${v0}"})[0] == {"a": 1}


def test_keys_are_left_alone() -> None:
    assert substituted({"${x}": 1})[:2] == ({"${x}": 1}, [])


def test_each_use_has_its_own_copy() -> None:
    tree, _, _ = substituted({"variables": {"v": {"l": []}, "w": "${v}"}, "a": "${v}", "b": "${w}"})
    tree["a"]["l"].put(1, None)
    assert tree == {"a": {"l": [1]}, "b": {"l": []}}


def test_what_is_put_in_stands_where_it_is_used() -> None:
    text = '{"variables": {"v": 1,\n "o": {"x": 2}},\n"a": "${v}",\n"b": ["${o}"]}'
    tree = read_text(text, "c.json")
    substitute(tree, {}, lambda *_: pytest.fail())
    assert str(place_of(tree, ("a",))) == "c.json:3:6: a"
    assert str(place_of(tree, ("b", 0))) == "c.json:4:7: b[0]"
    assert str(place_of(tree, ("b", 0, "x"))) == "c.json:2:13: b[0].x"
    assert str(place_of(tree["b"][0], ())) == "c.json:4:7"


def doubled(base: Any, as_list: bool) -> dict[str, Any]:
    """Sixty variables, each of them made twice of the one before."""
    variables = {"v0": base}
    for i in range(60):
        use = f"${{v{i}}}"
        variables[f"v{i + 1}"] = [use, use] if as_list else use * 2
    return variables


@pytest.mark.parametrize(
    ("base", "as_list"), [("a", False), (1, False), ("a", True), ([], True), ({}, True)]
)
def test_a_few_lines_cannot_fill_the_memory(base: Any, as_list: bool) -> None:
    source = {"variables": doubled(base, as_list), "a": ["${v60}", "${v59}"], "b": "${v2}"}
    tree, ((path, message),), left = substituted(source)
    assert path.startswith("variables.v")
    assert message == "the variables add more than 1,048,576 characters to the config"
    assert left == {("a", 0), ("a", 1), ("b",)}
    assert tree == {"a": ["${v60}", "${v59}"], "b": "${v2}"}


def test_the_bound_is_on_all_uses_together() -> None:
    quarter = "a" * (MAX_TEXT // 4)
    tree, problems, left = substituted({"variables": {"v": quarter}, "a": ["${v}"] * 6})
    assert tree["a"] == [quarter] * 4 + ["${v}"] * 2
    assert [path for path, _ in problems] == ["a[4]"]
    assert left == {("a", 4), ("a", 5)}


def test_a_large_config_without_variables_is_no_problem() -> None:
    tree = {"a": ["a" * MAX_TEXT] * 3}
    assert substituted(tree) == (tree, [], set())


def test_variables_cannot_nest_without_end() -> None:
    variables: dict[str, Any] = {"v0": 1, **{f"v{i + 1}": [f"${{v{i}}}"] for i in range(3000)}}
    _, ((path, message),), left = substituted({"variables": variables, "a": "${v3000}"})
    assert path == f"variables.v{MAX_DEPTH - 1}[0]"
    assert message == f'with "v{MAX_DEPTH - 2}" put in, this nests deeper than {MAX_DEPTH} levels'
    assert left == {("a",)}


# Whatever the tree is

texts = st.text("ab${}:env ", max_size=8) | st.sampled_from(
    ["${a}", "${b}", "${c}", "x ${a}", "${env:HOME}", "$${", "${lrr}", "${"]
)
keys = st.sampled_from(["a", "b", "c", "variables", "${a}", "a b", ""])


def trees(strings: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | strings,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=15,
    )


def strings_of(tree: Any) -> list[str]:
    if isinstance(tree, str):
        return [tree]
    items = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else []
    return [text for item in items for text in strings_of(item)]


@given(trees(texts))
def test_no_tree_makes_it_raise(source: Any) -> None:
    before = copy.deepcopy(source)
    tree, problems, left = substituted(source)
    assert source == before
    assert not isinstance(tree, dict) or "variables" not in tree
    assert bool(left) <= bool(problems)
    for path in left:
        old, new = before, tree
        for step in path:
            old, new = old[step], new[step]
        assert old == new
    json.dumps(tree)


@given(st.dictionaries(keys, trees(st.text(max_size=5).filter(lambda t: "${" not in t))))
def test_a_tree_without_references_is_not_changed(source: dict[str, Any]) -> None:
    source.pop("variables", None)
    assert substituted(source) == (source, [], set())


@given(
    st.dictionaries(st.sampled_from("abcdef"), trees(texts), max_size=6),
    st.lists(texts, max_size=20),
)
def test_what_is_put_in_is_bounded(variables: dict[str, Any], uses: list[str]) -> None:
    tree, _, _ = substituted({"variables": variables, "uses": uses})
    assert sum(map(len, strings_of(tree))) <= MAX_TEXT + sum(map(len, uses))


@given(trees(st.text(max_size=5)))
def test_a_variable_is_its_value(value: Any) -> None:
    def escaped(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: escaped(item) for key, item in node.items()}
        if isinstance(node, list):
            return [escaped(item) for item in node]
        return node.replace("${", "$${") if isinstance(node, str) else node

    source = {"variables": {"v": escaped(value), "w": "${v}"}, "a": "${w}"}
    assert substituted(source) == ({"a": value}, [], set())
