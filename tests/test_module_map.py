"""Every module has a test file of its name, or modules.toml says where it is tested."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "torchassistant"
Map = Mapping[str, Mapping[str, Sequence[str]]]

# What a test calls that goes through a session, a command, or the checks of whole configs.
WHOLE = re.compile(
    r"\b(command|create_session|load_session|Draft|main|read|subprocess|trained|problems|told|"
    r"mistakes|session|config)\b"
)


def map_problems(root: Path, entries: Map) -> Iterator[str]:
    """Yield modules that no test is known for, and entries that are not true.

    Args:
        root: Holds the package and ``tests``.
        entries: For each kind of test, the test files of a module, below ``tests``.
    """
    modules = dict(modules_in(root))
    by_name = {path.stem for path in (root / "tests").rglob("test_*.py")}
    for name in modules:
        if f"test_{name.rpartition('.')[2]}" not in by_name and not any(
            name in table for table in entries.values()
        ):
            yield f"{name}: no test file of its name, and no entry"
    for kind, table in entries.items():
        for name, files in table.items():
            if name not in modules:
                yield f"{name}: there is no such module"
                continue
            yield from (f"{name}: {why}" for why in _untrue(root, kind, modules[name], name, files))


def modules_in(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield the modules of the package by their dotted names, without ``__init__`` and the like."""
    for path in sorted((root / PACKAGE).rglob("*.py")):
        if not path.stem.startswith("__"):
            yield ".".join(path.relative_to(root / PACKAGE).with_suffix("").parts), path


def _untrue(root: Path, kind: str, path: Path, name: str, files: Sequence[str]) -> Iterator[str]:
    if not files:
        yield "no test is named"
    for file in files:
        test = root / "tests" / file
        if not test.is_file():
            yield f"there is no tests/{file}"
            continue
        text = test.read_text(encoding="utf-8")
        words = set(re.findall(r"\w+", text))
        is_named = f"{PACKAGE}.{name}" in text or defined_in(path) & words
        if kind == "by_name" and not is_named:
            yield f"tests/{file} names neither it nor anything of it"
        if kind != "by_name" and not WHOLE.search(text):
            yield f"tests/{file} runs no session, no command and no check of a config"


def defined_in(path: Path) -> set[str]:
    """Names of a module's functions and classes, and the module's own."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = ast.FunctionDef | ast.ClassDef
    return {node.name for node in tree.body if isinstance(node, kinds)} | {path.stem}


def test_every_module_is_tested_somewhere() -> None:
    entries = tomllib.loads((ROOT / "tests" / "modules.toml").read_text(encoding="utf-8"))
    assert set(entries) == {"by_name", "through_the_whole"}
    assert list(map_problems(ROOT, entries)) == []


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ({}, "data.b: no test file of its name, and no entry"),
        ({"by_name": {"data.b": []}}, "data.b: no test is named"),
        ({"by_name": {"data.b": ["test_x.py"]}}, "data.b: there is no tests/test_x.py"),
        ({"by_name": {"data.b": ["test_a.py"]}}, "names neither it nor anything of it"),
        ({"through_the_whole": {"data.b": ["test_a.py"]}}, "runs no session"),
        ({"by_name": {"data.b": ["test_c.py"], "x": []}}, "x: there is no such module"),
    ],
)
def test_a_wrong_map_is_found(tmp_path: Path, entries: Map, problem: str) -> None:
    (tmp_path / PACKAGE / "data").mkdir(parents=True)
    (tmp_path / "tests").mkdir()
    for name in ("a", "b", "__init__"):
        (tmp_path / PACKAGE / "data" / f"{name}.py").write_text("def work(): ...\n")
    (tmp_path / "tests" / "test_a.py").write_text("from torchassistant.data.a import other\n")
    (tmp_path / "tests" / "test_c.py").write_text("work()\n")
    found = list(map_problems(tmp_path, entries))
    assert len(found) == 1
    assert problem in found[0]
