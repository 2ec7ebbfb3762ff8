"""The house: floors that import only downwards, no cycles, no pickle, a config without torch.

Private names of other packages are used in one folder.

The checks are functions from a folder to a list of complaints. They run on the project itself, and
on small bad trees, so that they are known to be able to fail.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "torchassistant"

# The façade stands above every floor: it may reach all of them, and nothing may reach it.
FLOORS = {
    PACKAGE: 11,
    "cli": 10,
    "sweeps": 9,
    "compression": 9,
    "export": 8,
    "session": 7,
    "assembly": 6,
    "training": 5,
    "graph": 4,
    "rebuilding": 4,
    "data": 4,
    "parallel": 4,
    "conversion": 4,
    "projects": 5,
    "report": 5,
    "overview": 4,
    "catalogue": 3,
    "diagram": 3,
    "config": 2,
    "trackers": 2,
    "compat": 1,
    "earlier_names": 1,
    "errors": 1,
    "import_garbage": 1,
    "ownership": 1,
    "sizes": 1,
    "terminal": 1,
}
# Within the session: its folders, and the modules beside them, from the ground up.
STOREYS_OF_SESSION = {
    "create": 12,
    "earlier_saver": 12,
    "trials": 12,
    "derived_session": 11,
    "load": 11,
    "preflight": 11,
    "requests": 11,
    "session": 10,
    "evaluation": 9,
    "predictions": 8,
    "stored_session": 8,
    "building": 7,
    "stages": 7,
    "processes": 6,
    "changes": 5,
    "saving": 5,
    "views": 5,
    "folder": 4,
    "state": 4,
    "checkpoints": 3,
    "history": 2,
    "files": 1,
}
# Modules with a floor of their own.
ALONE = ("earlier_names", "errors", "import_garbage", "ownership", "sizes")
# Folders of the catalogue: built-in classes of one kind that need a module each.
CATALOGUE_FOLDERS = ("callbacks",)
# Each module of it is about another part of other packages, and a face of its own.
WITHOUT_FACE = ("compat",)
TORCH = ("torch", "torchvision", "torchmetrics", "safetensors.torch")
PRIVATE_NAMES = "compat"
"""The floor on which private names of other packages are used."""

# What Python's documentation names, although it begins with an underscore.
DOCUMENTED = ("ctypes._SimpleCData", "os._exit", "sys._getframe")
OF_NAMED_TUPLES = ("_asdict", "_field_defaults", "_fields", "_make", "_replace")
PRINTING = ("print", "sys.stdout.write", "sys.stderr.write", "warnings.showwarning")
PICKLES = ("pickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve")
PICKLING_FUNCTIONS = (
    "torch.save",
    "torch.load",
    "torch.serialization.save",
    "torch.serialization.load",
)

MAY_READ_PICKLES = ("torchassistant/conversion/pickle_process.py", "tests/conversion/pickles.py")
"""The process that reads weights of torch.save, and the pickles of its tests."""


# --- reading imports ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Import:
    """One imported name. ``target`` is the longest dotted name that the statement can mean."""

    target: str
    line: int
    in_function: bool
    for_typing: bool
    by_call: bool

    @property
    def at_import(self) -> bool:
        """Whether it happens as soon as its module is imported."""
        return not (self.in_function or self.for_typing)


@dataclass(frozen=True)
class Module:
    """One parsed file of the package."""

    name: str
    is_package: bool
    tree: ast.Module
    imports: tuple[Import, ...]

    @property
    def group(self) -> str:
        """The floor's name: a folder, a module of its own, ``catalogue`` or the façade itself."""
        if self.name == PACKAGE:
            return PACKAGE
        head, *rest = self.name.removeprefix(f"{PACKAGE}.").split(".")
        if head == "__main__":
            return "cli"
        if head in CATALOGUE_FOLDERS:
            return "catalogue"
        if head in ALONE or rest or self.is_package:
            return head
        return "catalogue"


def read_package(root: Path) -> dict[str, Module]:
    """Parse every module of the package that lies in ``root``, by dotted name."""
    modules = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        modules[name] = Module(name, is_package, tree, tuple(imports_of(tree, name, is_package)))
    return modules


def imports_of(tree: ast.AST, name: str, is_package: bool) -> Iterator[Import]:
    """Yield every import of a module, relative ones resolved, wherever in the file it stands."""
    package = name.split(".") if is_package else name.split(".")[:-1]
    waiting = [(tree, False, False)]
    while waiting:
        node, in_function, for_typing = waiting.pop()
        for target in targets(node, package):
            yield Import(
                target, node.lineno, in_function, for_typing, by_call=isinstance(node, ast.Call)
            )
        is_checked = isinstance(node, ast.If) and is_type_checking(node.test)
        only_typing = node.body if is_checked else []
        inside = in_function or isinstance(
            node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
        )
        waiting += reversed(
            [
                (child, inside, for_typing or child in only_typing)
                for child in ast.iter_child_nodes(node)
            ]
        )


def targets(node: ast.AST, package: list[str]) -> Iterator[str]:
    """Yield the dotted names that a statement, or a call with a literal name, imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = package[: len(package) - node.level + 1] if node.level else []
        base = [*base, node.module] if node.module else base
        yield from (".".join([*base, alias.name]) for alias in node.names)
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        argument = node.args[0].value
        if last_of(node.func) in ("import_module", "__import__") and isinstance(argument, str):
            stem = argument.lstrip(".")
            dots = len(argument) - len(stem)
            base = package[: len(package) - dots + 1] if dots else []
            yield ".".join([*base, stem] if stem else base)


def last_of(node: ast.expr) -> str:
    """The last part of a dotted name."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def module_meant(target: str, modules: dict[str, Module]) -> str | None:
    """Return the module of ours that a target stands in, or None for one of someone else."""
    if target != PACKAGE and not target.startswith(f"{PACKAGE}."):
        return None
    while target not in modules and "." in target:
        target = target.rpartition(".")[0]
    return target


def is_or_is_in(target: str, packages: tuple[str, ...]) -> bool:
    return any(target == package or target.startswith(f"{package}.") for package in packages)


# --- the checks ---------------------------------------------------------------------------------


def floor_problems(modules: dict[str, Module]) -> list[str]:
    """Imports that go up, across, or to the façade, and modules that have no floor."""
    problems = []
    for module in modules.values():
        if module.group not in FLOORS:
            problems.append(f"{module.name}: its folder has no floor; give it one in FLOORS")
            continue
        if module.group == PACKAGE:
            continue
        for statement in module.imports:
            target = module_meant(statement.target, modules)
            if target is None:
                continue
            where = f"{module.name}:{statement.line}"
            if target == PACKAGE:
                problems.append(f"{where} imports from the façade: {statement.target}")
                continue
            # A group without a floor has its own complaint above.
            group = modules[target].group
            lower = FLOORS.get(group, 0) < FLOORS[module.group]
            if group != module.group and not lower:
                problems.append(
                    f"{where} imports {target}: {module.group} is floor {FLOORS[module.group]}, "
                    f"{group} is floor {FLOORS[group]}"
                )
    return problems


def storey_problems(modules: dict[str, Module], floor: str, storeys: dict[str, int]) -> list[str]:
    """Imports within a floor that go up or across, and parts of it that have no storey.

    Its face is left out: it may reach all of them, and a module that imports it makes a circle.
    """
    problems = []
    inside = f"{PACKAGE}.{floor}."
    for module in modules.values():
        if not module.name.startswith(inside):
            continue
        part = module.name.removeprefix(inside).partition(".")[0]
        if part not in storeys:
            problems.append(f"{module.name}: it has no storey")
            continue
        for statement in module.imports:
            target = module_meant(statement.target, modules)
            if target is None or not target.startswith(inside):
                continue
            other = target.removeprefix(inside).partition(".")[0]
            # A part without a storey has its own complaint.
            if other != part and storeys.get(other, 0) >= storeys[part]:
                problems.append(
                    f"{module.name}:{statement.line} imports {target}: {part} is storey "
                    f"{storeys[part]}, {other} is storey {storeys[other]}"
                )
    return problems


def face_problems(modules: dict[str, Module]) -> list[str]:
    """Imports from the insides of another floor, in place of its face, the ``__init__``."""
    problems = []
    for module in modules.values():
        for statement in module.imports:
            target = module_meant(statement.target, modules)
            group = None if target is None else modules[target].group
            face = f"{PACKAGE}.{group}"
            is_own = group in (None, module.group, *WITHOUT_FACE)
            if is_own or target == face or face not in modules:
                continue
            if statement.target.removeprefix(f"{face}.") not in names_in(modules[face]):
                problems.append(
                    f"{module.name}:{statement.line} imports {statement.target}; {group} shows "
                    "what others may use in its __init__"
                )
    return problems


def names_in(face: Module) -> set[str]:
    """The names that a face imports."""
    return {
        alias.asname or alias.name
        for node in ast.walk(face.tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def cycle_problems(modules: dict[str, Module]) -> list[str]:
    """The first circular import, counting those inside functions and for typing only.

    The façade is left out: floor_problems sees to it that no module imports it.
    """
    graph = {
        module.name: {
            reached
            for statement in module.imports
            for reached in modules_run(module.name, statement, modules)
        }
        for module in modules.values()
        if module.name != PACKAGE
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        # graphlib lists each module before the one that imports it.
        return ["circular import: " + " -> ".join(reversed(error.args[1]))]
    return []


def modules_run(importer: str, statement: Import, modules: dict[str, Module]) -> Iterator[str]:
    """Yield the module that an import means, and the packages around it that run first.

    The packages that the importer itself stands in are left out: they run already.
    """
    target = module_meant(statement.target, modules)
    if target is None:
        return
    yield target
    while "." in target:
        target = target.rpartition(".")[0]
        if target in modules and not is_or_is_in(importer, (target,)):
            yield target


def torch_problems(modules: dict[str, Module]) -> list[str]:
    """torch anywhere in config or errors, or imported by the time that the cli is imported."""
    problems = [
        f"{module.name}:{statement.line} imports {statement.target}"
        for module in modules.values()
        if module.group in ("config", "errors", "ownership")
        for statement in module.imports
        if is_or_is_in(statement.target, TORCH)
    ]
    for name in sorted(reachable_at_import(f"{PACKAGE}.cli", modules)):
        problems += [
            f"{name}:{statement.line} imports {statement.target} as soon as the cli is imported"
            for statement in modules[name].imports
            if statement.at_import and is_or_is_in(statement.target, TORCH)
        ]
    return problems


def reachable_at_import(start: str, modules: dict[str, Module]) -> set[str]:
    """Return the modules that run when ``start`` is imported, the packages around it included."""
    found: set[str] = set()
    waiting = [name for name in (PACKAGE, start) if name in modules]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for statement in modules[name].imports:
            if statement.at_import:
                waiting += modules_run(name, statement, modules)
    return found


def print_problems(modules: dict[str, Module]) -> list[str]:
    """Prints outside of the command line and the output devices; messages go through logging."""
    printing = {name.rpartition(".")[2] for name in PRINTING}
    return [
        f"{module.name}:{node.lineno} calls {ast.unparse(node.func)}"
        for module in modules.values()
        if module.group != "cli" and module.name != f"{PACKAGE}.output_devices"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and last_of(node.func) in printing
        and ast.unparse(node.func) in PRINTING
    ]


def facade_problems(modules: dict[str, Module]) -> list[str]:
    """A façade that imports at once what it should import when asked."""
    facade = modules[PACKAGE]
    problems = [
        f"{PACKAGE}:{statement.line} imports {statement.target} by statement, not by importlib"
        for statement in facade.imports
        if not statement.for_typing
        and statement.target.partition(".")[0] not in sys.stdlib_module_names
        and not (statement.in_function and statement.by_call)
    ]
    functions = {node.name for node in facade.tree.body if isinstance(node, ast.FunctionDef)}
    if "__getattr__" not in functions:
        problems.append(f"{PACKAGE}: no __getattr__ for lazy names")
    return problems


def pickle_problems(root: Path) -> list[str]:
    """Uses of pickle, or of torch's functions that pickle, in any Python file below ``root``."""
    words = {name.rpartition(".")[2] for name in (*PICKLES, *PICKLING_FUNCTIONS)}
    pickling = re.compile(rf"\b({'|'.join(words)})\b")
    problems = []
    for path in python_files(root):
        text = path.read_text(encoding="utf-8")
        place = path.relative_to(root)
        if place.as_posix() in MAY_READ_PICKLES or not pickling.search(text):
            continue
        tree = ast.parse(text, str(path))
        problems += [
            f"{place}:{statement.line} uses {statement.target}"
            for statement in imports_of(tree, "", is_package=False)
            if is_or_is_in(statement.target, PICKLES) or statement.target in PICKLING_FUNCTIONS
        ]
        aliases = import_aliases(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in words:
                head, dot, rest = ast.unparse(node).partition(".")
                full = aliases.get(head, head) + dot + rest
                if full in PICKLING_FUNCTIONS:
                    problems.append(f"{place}:{node.lineno} uses {full}")
    return problems


def import_aliases(tree: ast.Module) -> dict[str, str]:
    """Return what each name bound by an import stands for: ``import torch as t`` gives t: torch."""
    aliases = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            aliases |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return aliases


def private_name_problems(modules: dict[str, Module]) -> list[str]:
    """Uses of private names that are not the package's own, outside of their floor."""
    own = {name for module in modules.values() for name in names_defined_in(module.tree)}
    return [
        f"{module.name}:{line} uses {name}"
        for module in modules.values()
        if module.group != PRIVATE_NAMES
        for line, name in private_names_of_others(module.tree, own)
    ]


def names_defined_in(tree: ast.AST) -> Iterator[str]:
    """Yield the names of functions, classes and methods, and all that is assigned to."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield from [node.attr] if ast.unparse(node.value) in ("self", "cls") else []


def private_names_of_others(tree: ast.AST, own: set[str]) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each use.

    Private is what begins with an underscore: an attribute of anything but ``self``, one of
    ``self`` that the package does not define, the same as a text for ``getattr`` and its kin, and
    an imported module or name.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            text = ast.unparse(node)
            is_ours = ast.unparse(node.value) in ("self", "cls", "super()") and node.attr in own
            if not is_ours and text not in DOCUMENTED:
                yield node.lineno, text
        elif isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, "level", 0):
            home = getattr(node, "module", "")
            for name in (f"{home}.{alias.name}".lstrip(".") for alias in node.names):
                if any(map(is_private, name.split("."))) and name not in DOCUMENTED:
                    yield node.lineno, name
        elif isinstance(node, ast.Call | ast.Subscript):
            yield from ((node.lineno, name) for name in private_texts_in(node))


def private_texts_in(node: ast.Call | ast.Subscript) -> Iterator[str]:
    """Yield private names that are asked for by a text: of attributes, and of modules."""
    given = node.args if isinstance(node, ast.Call) else [node.slice]
    constants = [argument.value for argument in given if isinstance(argument, ast.Constant)]
    texts = [value for value in constants if isinstance(value, str)]
    private = [text for text in texts if any(map(is_private, text.split(".")))]
    if not private:
        return
    asked = ast.unparse(node.func if isinstance(node, ast.Call) else node.value)
    is_lookup = asked in ("getattr", "hasattr", "setattr", "delattr") or asked.startswith("vars(")
    is_import = asked.rpartition(".")[2] in ("import_module", "__import__")
    if is_lookup or is_import or asked.startswith("sys.modules"):
        yield from private


def is_private(name: str) -> bool:
    is_dunder = name.startswith("__") and name.endswith("__")
    return name.startswith("_") and len(name) > 1 and not is_dunder and name not in OF_NAMED_TUPLES


def python_files(root: Path) -> Iterator[Path]:
    """Yield the project's Python files: no hidden folder, no virtual environment, no build."""
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and not (here / name / "pyvenv.cfg").exists()
            and not (here == root and name in ("build", "dist", "sessions", "data"))
        )
        yield from (here / name for name in sorted(files) if name.endswith(".py"))


# --- the project itself -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def modules() -> dict[str, Module]:
    return read_package(ROOT)


def test_the_package_is_found(modules: dict[str, Module]) -> None:
    assert {PACKAGE, f"{PACKAGE}.errors", f"{PACKAGE}.config", f"{PACKAGE}.cli"} <= modules.keys()


def test_every_folder_with_code_is_a_package(modules: dict[str, Module]) -> None:
    folders = {name.rpartition(".")[0] for name in modules if "." in name}
    assert folders <= {module.name for module in modules.values() if module.is_package}


def test_imports_go_down_the_floors(modules: dict[str, Module]) -> None:
    assert floor_problems(modules) == []


def test_imports_go_down_within_the_session(modules: dict[str, Module]) -> None:
    assert storey_problems(modules, "session", STOREYS_OF_SESSION) == []
    parts = {name.split(".")[2] for name in modules if name.startswith(f"{PACKAGE}.session.")}
    assert parts == STOREYS_OF_SESSION.keys()


def test_floors_import_from_each_others_faces(modules: dict[str, Module]) -> None:
    assert face_problems(modules) == []


def test_no_import_is_circular(modules: dict[str, Module]) -> None:
    assert cycle_problems(modules) == []


def test_config_and_cli_do_without_torch(modules: dict[str, Module]) -> None:
    assert torch_problems(modules) == []


def test_facade_is_lazy(modules: dict[str, Module]) -> None:
    assert facade_problems(modules) == []


def test_private_names_of_others_are_used_in_one_folder(modules: dict[str, Module]) -> None:
    assert private_name_problems(modules) == []


def test_messages_go_through_logging(modules: dict[str, Module]) -> None:
    assert print_problems(modules) == []


def test_nothing_is_pickled() -> None:
    assert pickle_problems(ROOT) == []


def test_a_batch_is_run_in_one_place() -> None:
    """Whoever runs a batch, in training, evaluation or elsewhere, does it by ``BatchRun``."""
    for call in ("precision.forward()", "plan.run("):
        holders = {
            path.name
            for path in python_files(ROOT / PACKAGE)
            if call in path.read_text(encoding="utf-8")
        }
        assert holders == {"batch_run.py"}, call


@pytest.mark.parametrize(
    "name", [PACKAGE, f"{PACKAGE}.errors", f"{PACKAGE}.config", f"{PACKAGE}.cli"]
)
def test_importing_does_not_load_torch(name: str) -> None:
    code = f"import sys, {name}; print(*{set(TORCH)!r} & sys.modules.keys())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


# --- bad trees ----------------------------------------------------------------------------------

LAZY_FACADE = "import importlib\ndef __getattr__(name):\n    return importlib.import_module(name)\n"


def write_package(root: Path, files: dict[str, str]) -> dict[str, Module]:
    """Write a small package with every folder on a floor, then ``files`` over it; read it back."""
    folders = set(FLOORS) - {PACKAGE, "catalogue", *ALONE}
    house = {"__init__.py": LAZY_FACADE, "errors.py": "", "losses.py": "", "metrics.py": ""}
    house |= {f"{folder}/__init__.py": "" for folder in folders}
    for name, text in (house | files).items():
        path = root / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return read_package(root)


def test_a_good_tree_has_no_problem(tmp_path: Path) -> None:
    modules = write_package(
        tmp_path,
        {
            "__init__.py": "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    from torchassistant.session import make\n" + LAZY_FACADE,
            "__main__.py": "from torchassistant.cli import main\n",
            "cli/__init__.py": "def main():\n    from torchassistant.session import make\n",
            "session/__init__.py": "from .make import make\n",
            "session/make.py": "import torch\nfrom . import lock\nfrom ..assembly import build\n",
            "session/lock.py": "from ..errors import UserError\n",
            "assembly/__init__.py": "from .trees import build\n",
            "assembly/trees.py": "import importlib\nimport torchassistant.data\n"
            "importlib.import_module('torchassistant.losses')\n",
            "data/__init__.py": "",
            "data/split.py": "import torch\nfrom torchassistant import errors\n",
            "losses.py": "import torch\nfrom .metrics import Mean\n",
        },
    )
    assert floor_problems(modules) == []
    assert face_problems(modules) == []
    assert cycle_problems(modules) == []
    assert torch_problems(modules) == []
    assert facade_problems(modules) == []


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("errors.py", "import torchassistant.losses", "errors:1 imports torchassistant.losses"),
        ("losses.py", "from .graph import Node", "catalogue is floor 3, graph is floor 4"),
        ("losses.py", "from torchassistant import cli", "losses:1 imports torchassistant.cli"),
        ("config/a.py", "from ..losses import L", "config.a:1 imports torchassistant.losses"),
        ("graph/a.py", "from ..data import split", "graph is floor 4, data is floor 4"),
        ("data/a.py", "from torchassistant.graph import x", "data is floor 4, graph is floor 4"),
        (
            "assembly/a/b.py",
            "from ...session import s",
            "assembly.a.b:1 imports torchassistant.session",
        ),
        (
            "assembly/__init__.py",
            "from ..session import s",
            "assembly:1 imports torchassistant.session",
        ),
        ("graph/a.py", "def f():\n    from ..cli import main", "graph.a:2 imports"),
        ("graph/a.py", "class A:\n    async def f():\n        import torchassistant.cli", ":3 "),
        ("graph/a.py", "if TYPE_CHECKING:\n    from ..training import stage", "graph.a:2 imports"),
        ("graph/a.py", "import_module('torchassistant.training')", "graph.a:1 imports"),
        ("graph/a.py", "importlib.import_module('..training', __package__)", "graph.a:1 imports"),
        ("cli/a.py", "import torchassistant", "imports from the façade: torchassistant"),
        ("cli/a.py", "from torchassistant import load_session", "façade: torchassistant.load_s"),
        ("cli/a.py", "from .. import load_session", "façade: torchassistant.load_session"),
        ("cli/a.py", "from torchassistant import *", "façade: torchassistant.*"),
        ("attic/__init__.py", "", "torchassistant.attic: its folder has no floor"),
    ],
)
def test_a_wrong_import_is_found(tmp_path: Path, file: str, text: str, problem: str) -> None:
    problems = floor_problems(write_package(tmp_path, {file: text}))
    assert len(problems) == 1
    assert problem in problems[0]


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("files/a.py", "from ..load import f", "files is storey 1, load is storey 2"),
        ("files/a.py", "def f():\n    from ..load import f", "session.files.a:2 imports"),
        ("files/a.py", "from torchassistant.session.rows.b import b", "rows is storey 1"),
        ("load.py", "from . import make", "load is storey 2, make is storey 2"),
        ("attic/b.py", "", "torchassistant.session.attic.b: it has no storey"),
        ("load.py", "from .files.a import f\nfrom .rows import b", None),
        ("files/b.py", "from .a import f\nfrom torchassistant.config import Spec", None),
    ],
)
def test_a_wrong_import_within_a_floor_is_found(
    tmp_path: Path, file: str, text: str, problem: str | None
) -> None:
    house = {f"session/{name}.py": "" for name in ("files/a", "rows/b", "load", "make")}
    modules = write_package(tmp_path, house | {f"session/{file}": text})
    found = storey_problems(modules, "session", {"files": 1, "rows": 1, "load": 2, "make": 2})
    assert len(found) == (0 if problem is None else 1)
    assert problem is None or problem in found[0]


@pytest.mark.parametrize(
    ("text", "is_problem"),
    [
        ("from torchassistant.graph import Node", False),
        ("from torchassistant import graph", False),
        ("from torchassistant.graph.node import Node", True),
        ("from ..graph.node import Node", True),
        ("import torchassistant.graph.node", True),
        ("from torchassistant.graph import node", True),
        ("from torchassistant.graph import shapes", False),
        ("from torchassistant.compat.optimizers import step", False),
        ("from torchassistant.losses import Loss", False),
        ("from torchassistant.training.stage import Stage", False),
    ],
)
def test_an_import_from_inside_another_floor_is_found(
    tmp_path: Path, text: str, is_problem: bool
) -> None:
    files = {
        "graph/__init__.py": "from torchassistant.graph.node import Node\n"
        "from torchassistant.graph.shapes import shapes",
        "graph/node.py": "class Node: ...",
        "graph/shapes.py": "def shapes(): ...",
        "compat/__init__.py": "",
        "compat/optimizers.py": "def step(): ...",
        "losses.py": "class Loss: ...",
        "training/__init__.py": "",
        "training/stage.py": "class Stage: ...",
        "training/loop.py": text,
    }
    problems = face_problems(write_package(tmp_path, files))
    assert bool(problems) is is_problem, problems


@pytest.mark.parametrize(
    "files",
    [
        {"losses.py": "from . import metrics", "metrics.py": "from .losses import Loss"},
        {"graph/a.py": "from .b import B", "graph/b.py": "def f():\n    from .a import A"},
        {
            "graph/__init__.py": "from .a import A",
            "graph/a.py": "from torchassistant.graph import B",
        },
        {"graph/a.py": "import torchassistant.graph.a"},
        {
            "graph/a.py": "from .nodes.b import B",
            "graph/nodes/__init__.py": "from ..c import C",
            "graph/nodes/b.py": "",
            "graph/c.py": "if TYPE_CHECKING:\n    from .a import A",
        },
    ],
    ids=["two modules", "in a function", "through the package", "itself", "implicit package"],
)
def test_a_circular_import_is_found(tmp_path: Path, files: dict[str, str]) -> None:
    problems = cycle_problems(write_package(tmp_path, files))
    assert len(problems) == 1
    assert problems[0].startswith("circular import: ")


def test_a_circular_import_is_told_in_the_order_of_its_imports(tmp_path: Path) -> None:
    files = {"graph/a.py": "from .b import B", "graph/b.py": "from .c import C"}
    modules = write_package(tmp_path, files | {"graph/c.py": "from .a import A"})
    told = cycle_problems(modules)[0].removeprefix("circular import: torchassistant.graph.")
    order = [name.rpartition(".")[2] for name in told.split(" -> ")]
    assert "".join(order) in ("abca", "bcab", "cabc")


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"config/a.py": "import torch.nn"}, "config.a:1 imports torch.nn"),
        ({"config/a.py": "def f():\n    from torch import nn"}, "config.a:2 imports torch.nn"),
        ({"errors.py": "from safetensors import torch"}, "errors:1 imports safetensors.torch"),
        ({"cli/__init__.py": "try:\n    import torch\nfinally: pass"}, "cli:2 imports torch "),
        (
            {"cli/__init__.py": "from ..session.a import f", "session/__init__.py": "import torch"},
            "session:1 imports torch as soon as",
        ),
        (
            {"cli/__init__.py": "from . import a", "cli/a.py": "from ..losses import torchvision"}
            | {"losses.py": "import torchvision"},
            "losses:1 imports torchvision as soon as",
        ),
    ],
)
def test_torch_in_the_wrong_place_is_found(
    tmp_path: Path, files: dict[str, str], problem: str
) -> None:
    problems = torch_problems(write_package(tmp_path, files))
    assert len(problems) == 1
    assert problem in problems[0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("from torchassistant.session import load_session\n" + LAZY_FACADE, "session.load_session"),
        ("def __getattr__(name):\n    from . import session\n", "imports torchassistant.session"),
        ("import torch\n" + LAZY_FACADE, "imports torch by statement"),
        ("import importlib\n", "no __getattr__"),
    ],
)
def test_an_eager_facade_is_found(tmp_path: Path, text: str, problem: str) -> None:
    problems = facade_problems(write_package(tmp_path, {"__init__.py": text}))
    assert len(problems) == 1
    assert problem in problems[0]


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "import pickle as p",
        "def f():\n    from pickle import loads",
        "from torch import load",
        "import torch\ntorch.save({}, 'a')",
        "import torch as t\nsave = t.save",
        "import torch\ntorch.serialization.load('a')",
        "from torch import serialization as s\ns.load('a')",
    ],
)
def test_pickling_is_found(tmp_path: Path, text: str) -> None:
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "code.py").write_text(text, encoding="utf-8")
    assert len(pickle_problems(tmp_path)) == 1


def test_what_only_looks_like_pickling_passes(tmp_path: Path) -> None:
    text = '"""No torch.save, no import pickle."""\nimport json\njson.load\nself.torch.load\n'
    (tmp_path / "code.py").write_text(text, encoding="utf-8")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "code.py").write_text("import pickle", encoding="utf-8")
    assert pickle_problems(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "used"),
    [
        ("import torch\ntorch._C.nothing", "torch._C"),
        ("def f(loader): loader._iterator = None", "loader._iterator"),
        ("class A(B):\n    def f(self): return self._of_b", "self._of_b"),
        ("from torch._utils import ExceptionWrapper", "torch._utils.ExceptionWrapper"),
        ("from torch.utils.data import _utils", "torch.utils.data._utils"),
        ("def f():\n    import torch._dynamo", "torch._dynamo"),
        ("getattr(tensor, '_version')", "_version"),
        ("setattr(optimizer, '__dynamo_disable', 1)", "__dynamo_disable"),
        ("vars(module)['_buffers']", "_buffers"),
        ("importlib.import_module('torch._inductor.config')", "torch._inductor.config"),
        ("sys.modules.get('torchvision.models._api')", "torchvision.models._api"),
        ("import os\nos._get_exports_list", "os._get_exports_list"),
    ],
)
def test_a_private_name_of_others_is_found(tmp_path: Path, text: str, used: str) -> None:
    modules = write_package(tmp_path, {"data/a.py": text, "compat/a.py": text})
    problems = private_name_problems(modules)
    assert [problem.rpartition(" uses ")[2] for problem in problems] == [used]
    assert problems[0].startswith("torchassistant.data.a:")


def test_private_names_of_our_own_pass(tmp_path: Path) -> None:
    text = "import os\nfrom .b import _helper\nclass A:\n    def __init__(self):\n"
    text += "        self._a = _helper()\n    def f(self, row):\n"
    text += "        return self._a, self._of_base(), row._replace(a=1), os._exit, row.__dict__\n"
    files = {"data/a.py": text, "data/b.py": "class B:\n    def _of_base(self): ...\n"}
    assert private_name_problems(write_package(tmp_path, files)) == []


def test_a_print_outside_of_the_command_line_is_found(tmp_path: Path) -> None:
    text = "import sys\ndef f():\n    print('a', file=sys.stderr)\n"
    files = {"data/a.py": text, "cli/a.py": text, "output_devices.py": text}
    problems = print_problems(write_package(tmp_path, files))
    assert problems == ["torchassistant.data.a:3 calls print"]
