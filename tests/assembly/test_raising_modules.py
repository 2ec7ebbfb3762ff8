"""Modules of the user that cannot be imported: whose fault it is, and what else is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hostile_config import Hostile, base, config_text, run

from torchassistant.errors import UserCodeError
from torchassistant.session import Draft

RAISING = {
    "raises": ("def fail():\n    raise ArithmeticError('no')\nfail()\n", "ArithmeticError: no"),
    "unwritten": ("def broken(:\n    pass\n", "SyntaxError: invalid syntax"),
    "leaves": ("import sys\nsys.exit(0)\n", "SystemExit: 0"),
    "lacks": ("import no_such_package\n", "ModuleNotFoundError: No module named 'no_such_package'"),
    "lacks_part": ("import os.nothing\n", "ModuleNotFoundError: No module named 'os.nothing'"),
    "circle": ("from circle import Net\n", "ImportError: cannot import name 'Net'"),
    "lazy": ("def __getattr__(name):\n    raise KeyError(name)\n", "KeyError: 'Net'"),
}


def config(folder: Path, *paths: str) -> list[int]:
    """Write a config with these, and two mistakes of another kind; their lines come back."""
    text, _ = config_text([Hostile(path) for path in paths])
    text = text.replace('"kwargs": {"lr": 0.1}', '"kwargs": {"lrr": 0.1}', 1)
    text = text.replace('"class": "mine.Net"}', '"class": "mine.Nett"}')
    (folder / "c.json").write_text(text)
    wrong = [i for i, line in enumerate(text.splitlines(), 1) if "lrr" in line or "Nett" in line]
    assert len(wrong) == 2
    return wrong


def in_python(folder: Path, *paths: str) -> tuple[UserCodeError, list[int]]:
    wrong = config(folder, *paths)
    with pytest.raises(UserCodeError) as caught:
        Draft(folder / "c.json")
    return caught.value, wrong


@pytest.mark.parametrize("name", RAISING)
def test_the_fault_and_the_other_mistakes(folder: Path, name: str) -> None:
    (folder / f"{name}.py").write_text(RAISING[name][0])
    error, wrong = in_python(folder, f"{name}.Net")
    assert [problem.place.line for problem in error.problems] == wrong
    if name != "lazy":
        assert error.part == f'importing the module "{name}"'


def test_the_command(folder: Path) -> None:
    """Status 1, the user's frames, and what else is wrong; other modules in one line each."""
    for name, (code, _) in RAISING.items():
        (folder / f"{name}.py").write_text(code)
    wrong = config(folder, *(f"{name}.Net" for name in RAISING), "raises.Other")
    done = run(folder, "check", "c.json")
    assert done.status == 1
    lines = done.stderr.splitlines()
    first = lines.index('error: importing the module "raises": ArithmeticError: no')
    assert done.lines[:2] == wrong
    faults = [line for line in lines if "importing the" in line or "looking for" in line]
    assert len(faults) == len(RAISING)
    for name, (_, message) in RAISING.items():
        told = [line for line in lines if f'"{name}"' in line and message in line]
        assert len(told) == 1, name
    frames = "\n".join(lines[first + 1 :])
    assert "Traceback (your code" in frames
    assert "raises.py" in frames
    assert "torchassistant/" not in frames
    assert "importlib" not in frames


def test_a_module_is_tried_once(folder: Path) -> None:
    (folder / "counted.py").write_text(
        "with open('count', 'a') as file:\n    file.write('x')\nraise ValueError\n"
    )
    in_python(folder, "counted.Net", "counted.Other", "counted.Net.more")
    assert (folder / "count").read_text() == "x"


def test_a_missing_module_inside_a_package(folder: Path) -> None:
    package = folder / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "nets.py").write_text("import package.gone\n")
    definitions = base()
    definitions[2]["spec"]["class"] = "package.nets.Net"
    data = json.loads(config_text([])[0])
    data["initialize"]["definitions"] = definitions
    with pytest.raises(UserCodeError) as caught:
        Draft(data)
    assert caught.value.part == 'importing the module "package.nets"'
    assert "package.gone" in str(caught.value.__cause__)
