"""Where only the structure is wrong nothing is imported; what may be wrong is never certain."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from torchassistant.config import read, spec_of
from torchassistant.config.named_objects import is_object
from torchassistant.config.static_check import passes_static_check

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(ROOT.glob("examples/*/training.json"))

PROGRAM = """
import sys
from torchassistant.cli import main
status = main(["check", sys.argv[1]])
print(status, "torch" in sys.modules)
"""


def checked(config: Path, piped: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(config)],
        input=piped,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.parent.name)
def test_structure_is_told_without_torch(example: Path, tmp_path: Path) -> None:
    text = example.read_text(encoding="utf-8")
    (tmp_path / "c.json").write_text(text.replace("{", '{ "sed": 1,', 1), encoding="utf-8")
    done = checked(tmp_path / "c.json")
    assert done.stdout == "2 False\n"
    assert 'unknown key "sed"' in done.stderr


def test_with_a_mistake_in_a_name_both_are_told(tmp_path: Path) -> None:
    text = EXAMPLES[0].read_text(encoding="utf-8").replace("{", '{ "sed": 1,', 1)
    (tmp_path / "c.json").write_text(text.replace("CrossEntropyLoss", "CrossEntropyLos"))
    done = checked(tmp_path / "c.json")
    assert done.stdout == "2 True\n"
    assert 'unknown key "sed"' in done.stderr
    assert '"CrossEntropyLos" is not found' in done.stderr


@pytest.mark.parametrize(
    ("before", "after", "printed"),
    [
        ("{", '{ "sed": 1,', "2 False\n"),
        ("CrossEntropyLoss", "CrossEntropyLos", "2 True\n"),
        ("{", "{", "/dev/stdin: no problem found\n0 True\n"),
    ],
)
def test_what_comes_through_a_pipe_is_read_once(before: str, after: str, printed: str) -> None:
    text = EXAMPLES[0].read_text(encoding="utf-8").replace(before, after, 1)
    done = checked(Path("/dev/stdin"), piped=text)
    assert done.stdout == printed, done.stderr


def objects_of(tree: Any) -> list[dict[str, Any]]:
    found = [tree] if is_object(tree) else []
    if isinstance(tree, (dict, list)):
        for item in tree.values() if isinstance(tree, dict) else tree:
            found += objects_of(item)
    return found


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.parent.name)
def test_what_is_wrong_is_never_certain(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = json.dumps(read(example).tree)

    def is_certain(tree: Any) -> bool:
        spec = spec_of(read(tree))
        assert spec is not None
        return passes_static_check(spec)

    assert is_certain(json.loads(text))
    for index in range(len(objects_of(json.loads(text)))):
        key = "class" if "class" in objects_of(json.loads(text))[index] else "factory_fn"
        for change in (
            lambda found, key=key: found.update({key: f"{found[key]}s"}),
            lambda found, key=key: found.update({key: "os.system"}),
            lambda found: found.setdefault("kwargs", {}).update(no_such_argument=1),
            lambda found: found.setdefault("args", []).extend(range(20)),
        ):
            tree = json.loads(text)
            change(objects_of(tree)[index])
            assert not is_certain(tree), objects_of(tree)[index]
