"""Whatever is read as a config, the answer is problems with their places, and no other error."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path as File
from typing import Any

import mistakes
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planting import Path, Source

from torchassistant import config as language
from torchassistant.config.spec import DEFINITIONS, EvaluationSpec, InferenceSpec, Spec
from torchassistant.config.text import MAX_BYTES
from torchassistant.errors import ConfigError, Problem

SOURCES = mistakes.sources()
FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=6000, deadline=None, suppress_health_check=list(HealthCheck))


def told(source: Any) -> list[Problem]:
    """The problems of a config, from a file or from data."""
    began = time.process_time()
    try:
        diagnostics = language.read(source)
        language.spec_of(diagnostics)
        problems = diagnostics.in_order()
    except ConfigError as error:
        problems = error.problems
    assert time.process_time() - began < 10
    for problem in problems:
        assert "\n" not in str(problem)
        str(problem).encode("utf-8")
    return problems


def told_of_file(data: bytes) -> None:
    """The same of a file: every problem has a line of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = File(folder, "c.json")
        path.write_bytes(data)
        lines = data.count(b"\n") + 1
        for problem in told(path):
            assert 1 <= problem.place.line <= lines
            assert problem.place.column >= 1


# Text

edits = st.lists(
    st.tuples(
        st.integers(0, 10**6),
        st.integers(0, 12),
        st.text("{}[]\",:/*\\ \n01.-#'eTrufalsn\x00\ud800é", max_size=4)
        | st.sampled_from(["NaN", "null", "true", '"x": 1,', '"', "{}", "[]", "//", '"name"', "7"]),
    ),
    min_size=1,
    max_size=4,
)
names = st.sampled_from(list(SOURCES))


def edited(text: str, changes: list[tuple[int, int, str]]) -> bytes:
    """A text in which some pieces are replaced."""
    for at, length, new in changes:
        at %= len(text)
        text = text[:at] + new + text[at + length :]
    return text.encode("utf-8", "surrogatepass")


def any_edited_text_is_answered(name: str, changes: list[tuple[int, int, str]]) -> None:
    told_of_file(edited(SOURCES[name].text, changes))


def any_flipped_bytes_are_answered(name: str, flips: list[tuple[int, int]]) -> None:
    data = bytearray(SOURCES[name].text.encode())
    for at, byte in flips:
        data[at % len(data)] = byte
    told_of_file(bytes(data))


flips = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=3)
test_any_edited_text_is_answered = FEW(given(names, edits)(any_edited_text_is_answered))
test_any_flipped_bytes_are_answered = FEW(given(names, flips)(any_flipped_bytes_are_answered))


@FEW
@given(st.binary(max_size=200))
def test_any_bytes_are_answered(data: bytes) -> None:
    told_of_file(data)


# Data

KEYS = sorted(
    {
        *(step for source in SOURCES.values() for path in source.keys for step in path[-1:]),
        *(field for block in (Spec, EvaluationSpec, InferenceSpec) for field in block.model_fields),
        *("input_injector", "input_port", "input_ports", "data_loader", "alias", "data"),
        *("computation", "options", "replace_strategy", "override_key", "variables", "merge"),
        *("lr_scheduler", "monitor", "interval", "device", "eval_steps", "$schema", ""),
    }
)
WORDS = [
    *DEFINITIONS,
    *("data_loaders", "net", "adam", "mse", "x", "y", "y_hat", "fit", "graph", "port", "processor"),
    *("parts.train", "parts[0]", "parts[9]", "parts.", "${x}", "${env:HOME}", "$${", "\ud800", ""),
    *("SelectInputs", "SelectVariables", "EarlyStopping", "epoch", "step", "\ufffc", "a\nb", "cpu"),
]
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.integers()
    | st.floats()
    | st.sampled_from(WORDS)
    | st.text(max_size=5)
)
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)
changes = st.lists(st.tuples(st.integers(0, 10**6), trees), min_size=1, max_size=3)


def any_tree_anywhere_is_answered(name: str, put: list[tuple[int, Any]]) -> None:
    told(changed(SOURCES[name], put))


def changed(source: Source, put: list[tuple[int, Any]]) -> Any:
    """A config with other values at some of its places."""
    data = {"": copy.deepcopy(source.data)}
    paths = list(source.values)
    for at, tree in put:
        holder, path = _holder(data, ("", *paths[at % len(paths)]))
        holder[path] = tree
    return data[""] if isinstance(data[""], dict) else {}


def _holder(node: Any, path: Path) -> tuple[Any, Any]:
    """What holds the last thing of a path that is still there."""
    for step in path[:-1]:
        inner = node[step]
        is_there = isinstance(inner, dict) or (isinstance(inner, list) and inner)
        following = path[path.index(step) + 1]
        if not is_there or not _has(inner, following):
            return node, step
        node = inner
    return node, path[-1]


def _has(node: Any, step: str | int) -> bool:
    if isinstance(node, list):
        return isinstance(step, int) and step < len(node)
    return step in node


test_any_tree_anywhere_is_answered = FEW(given(names, changes)(any_tree_anywhere_is_answered))


@FEW
@given(st.dictionaries(st.sampled_from(KEYS), trees, max_size=5))
def test_any_object_is_answered(data: dict[str, Any]) -> None:
    told(data)


@FEW
@given(
    st.sampled_from([EvaluationSpec, InferenceSpec]),
    st.dictionaries(st.sampled_from(KEYS), trees, max_size=5),
)
def test_any_object_is_answered_as_another_kind(block: type, data: dict[str, Any]) -> None:
    try:
        diagnostics = language.read(data, block=block)
    except ConfigError:
        return
    spec = language.validate(block, diagnostics.tree, diagnostics)
    assert diagnostics.problems or spec is not None


@pytest.mark.slow
def test_any_edited_text_is_answered_longer() -> None:
    MANY(given(names, edits)(any_edited_text_is_answered))()


@pytest.mark.slow
def test_any_flipped_bytes_are_answered_longer() -> None:
    MANY(given(names, flips)(any_flipped_bytes_are_answered))()


@pytest.mark.slow
def test_any_tree_anywhere_is_answered_longer() -> None:
    MANY(given(names, changes)(any_tree_anywhere_is_answered))()


# Bounds

ANSWER = """
import resource, sys, time
from torchassistant import config as language
from torchassistant.errors import ConfigError

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.process_time()
try:
    diagnostics = language.read(sys.argv[1])
    language.spec_of(diagnostics)
    count = len(diagnostics.problems)
except ConfigError as error:
    count = len(error.problems)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(count, time.process_time() - began, (after - before) / 1024)
"""


def answer(path: File) -> tuple[int, float, float]:
    """The number of problems, the seconds and the MiB that a config file took, in a new process."""
    run = subprocess.run(
        [sys.executable, "-c", ANSWER, str(path)], capture_output=True, text=True, check=True
    )
    count, seconds, memory = run.stdout.split()
    return int(count), float(seconds), float(memory)


@pytest.mark.parametrize("text", ["[", '{"a":', "/*", '"', "1", "a", "\\", " "])
def test_a_huge_file_is_refused_at_once(text: str, tmp_path: File) -> None:
    path = tmp_path / "c.json"
    path.write_text(text * (100 * 1024 * 1024 // len(text)))
    count, seconds, memory = answer(path)
    assert count == 1
    assert seconds < 2
    assert memory < 200


def definitions_of(kind: str) -> Any:
    """Many definitions, of which each has one mistake."""
    many: dict[str, Any] = {
        "of numbers": lambda i: i,
        "of no group": lambda i: {"group": f"modl{i}", "name": f"n{i}", "spec": {}},
        "of no name": lambda i: {"group": "models", "name": i, "spec": {"class": "A"}},
        "undefined": lambda i: {
            "group": "gradient_clippers",
            "name": f"n{i}",
            "spec": {"model": f"m{i}", "clip_norm": 1.0},
        },
        "twice": lambda i: {"group": "models", "name": "net", "spec": {"class": "A"}},
        "in a circle": lambda i: {
            "group": "datasets",
            "name": f"{i}",
            "spec": {"link": f"{i ^ 1}"},
        },
    }
    return many[kind]


@pytest.mark.parametrize(
    "kind",
    [
        *("of numbers", "undefined", "in a circle"),
        *(pytest.param(k, marks=pytest.mark.slow) for k in ("of no group", "of no name", "twice")),
    ],
)
def test_a_file_of_many_problems_is_answered_in_seconds(kind: str, tmp_path: File) -> None:
    data = copy.deepcopy(SOURCES["small"].data)
    made = map(definitions_of(kind), range(20_000))
    text = json.dumps(data)
    room = MAX_BYTES - len(text) - 10
    for definition in made:
        room -= len(json.dumps(definition)) + 2
        if room < 0:
            break
        data["initialize"]["definitions"].append(definition)
    path = tmp_path / "c.json"
    path.write_text(json.dumps(data))
    count, seconds, _ = answer(path)
    assert count > 3000
    assert seconds < 15, "some seconds on a machine that has nothing else to do"
