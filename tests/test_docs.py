"""The docs say what the program does."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pydoc
import re
from pathlib import Path
from typing import Any

import pytest

from torchassistant.config.reader import read_text

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("examples/*/*.md")),
]


def script(name: str) -> Any:
    """A script of docs/ as a module."""
    location = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert location is not None
    assert location.loader is not None
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_merge_was_left_unfinished(page: Path) -> None:
    assert not re.search(r"^(<<<<<<<|>>>>>>>) ", page.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_tables_are_those_of_the_language() -> None:
    tables = script("tables")
    page = tables.PAGE.read_text(encoding="utf-8")
    assert tables.with_tables(page) == page, "run: python docs/tables.py"


def test_the_rules_are_those_of_the_program() -> None:
    rules = script("rules")
    page = rules.PAGE.read_text(encoding="utf-8")
    assert rules.with_tables(page) == page, "run: python docs/rules.py"


BUILT_IN = re.findall(
    r"^\| `(torchassistant\.\w+)` \| (.*) \|$",
    (ROOT / "docs" / "config.md")
    .read_text(encoding="utf-8")
    .partition("## The built-in classes")[2],
    flags=re.MULTILINE,
)


@pytest.mark.parametrize(("module", "names"), BUILT_IN, ids=[name for name, _ in BUILT_IN])
def test_pydoc_shows_the_arguments_of_what_is_built_in(module: str, names: str) -> None:
    shown = pydoc.render_doc(importlib.import_module(module), renderer=pydoc.plaintext)
    for name in re.findall(r"`(\w+)`", names):
        start = re.search(rf"^    (class )?{name}\(", shown, flags=re.MULTILINE)
        assert start is not None, name
        described = re.split(r"^    (?=\S)", shown[start.end() :], flags=re.MULTILINE)[0]
        made = getattr(importlib.import_module(module), name)
        for argument in inspect.signature(made).parameters.values():
            if argument.kind not in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD):
                told = re.search(rf"^[ |]+{argument.name}: \S", described, flags=re.MULTILINE)
                assert told is not None, f"{name}: {argument.name}"


def test_every_block_of_the_language_has_its_table() -> None:
    page = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    blocks = script("tables").BLOCKS
    assert {"ObjectSpec", "OptimizerSpec", "Spec", "InputMetaSpec"} <= blocks.keys()
    for name in blocks:
        assert f"<!-- {name} -->" in page, name


PATH = re.compile(r"`(\.?\w[\w.-]*/[\w./* -]*)`")
PLACEHOLDER = re.compile(r"[A-Z]+(?=\.py)|(?<=format )N")
INTERPRETER = re.compile(r"^\.venv/bin/python (-m [\w.]+ ?)?")
MADE_BY_RUNS = "sessions"
FOLDERS = [ROOT, ROOT / "torchassistant"]


def missing_paths(text: str) -> list[str]:
    """Paths in backticks that look like those of the project, and that it does not have.

    A path belongs to the project if its first folder does. In place of ``NAME`` and the like,
    anything may stand. Of a command, the paths after the interpreter count. What the commands of
    the pages make may be there or not.
    """
    missing = []
    quoted = PATH.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    for path in (INTERPRETER.sub("", found) for found in quoted):
        first = path.partition("/")[0]
        if first in ("", MADE_BY_RUNS):
            continue
        homes = [folder for folder in FOLDERS if (folder / first).is_dir()]
        pattern = PLACEHOLDER.sub("*", path).rstrip("/")
        if homes and not any(any(home.glob(pattern)) for home in homes):
            missing.append(path)
    return missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_of_the_project_exist(page: Path) -> None:
    assert missing_paths(page.read_text(encoding="utf-8")) == []


def test_a_path_that_is_not_there_is_found() -> None:
    text = "`config/groups/NAME.py`, `tests/test_docs.py`, `metrics/0.csv`, `session/opening.py`"
    assert missing_paths(text) == ["session/opening.py"]
    commands = "`.venv/bin/python docs/tables.py`, `.venv/bin/python -m pytest tests/turtles.py`"
    assert missing_paths(commands) == ["tests/turtles.py"]
    assert missing_paths("`sessions/elsewhere`") == []
    assert missing_paths("`tests/catalogue/test_MODULE.py`, `config/circles/NAME.py`") == [
        "config/circles/NAME.py"
    ]


def anchors_of(page: Path) -> set[str]:
    """What a link to a page can name after ``#``: its headings, and anchors of its own."""
    text = page.read_text(encoding="utf-8")
    headings = {
        re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }
    return headings | set(re.findall(r'<a id="([^"]+)">', text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        linked = page.parent / path if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors_of(linked), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_json_of_the_docs_is_json(page: Path) -> None:
    for block in re.findall(r"```json\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        read_text(block, str(page))
