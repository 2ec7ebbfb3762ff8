"""Reads classes and functions from source code, without importing it.

Importing what a config names takes seconds, where torch is among it. Most of it can be read
instead: where a name is defined, what a class is derived from, which arguments it takes. What
cannot be read for certain is None, and has to be imported.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

_DEEPEST = 20
"""So many re-exports and base classes are followed."""

_ANY = inspect.Signature(
    [
        inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),
        inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),
    ]
)
_NONE = inspect.Signature()

# Base classes that are known, so that their long sources are not parsed: what they take.
_KNOWN: dict[str, inspect.Signature | None] = {
    "object": _NONE,
    "torch.nn.Module": _ANY,
    "torch.nn.modules.module.Module": _ANY,
    "torch.optim.Optimizer": None,
    "torch.optim.optimizer.Optimizer": None,
    "torch.optim.lr_scheduler.LRScheduler": None,
    "torch.utils.data.Dataset": _NONE,
    "torch.utils.data.dataset.Dataset": _NONE,
    "typing.Protocol": None,
    "typing.Generic": _NONE,
}


_OURS = Path(__file__).resolve().parents[1] / "__init__.py"
"""This package: where it is installed to be edited, it need not be on Python's path."""


class Found(NamedTuple):
    """A class or function in source code.

    Args:
        module: The module that defines it.
        file: The file of that module.
        node: Its definition; None for a class that is known without its source.
        name: Its name.
    """

    module: str
    file: Path
    node: ast.ClassDef | ast.FunctionDef | None
    name: str

    @property
    def full_name(self) -> str:
        """Module and name."""
        return f"{self.module}.{self.name}"


def find_source(path: str) -> Found | None:
    """What a dotted path names, where that can be read for certain."""
    module, _, name = path.rpartition(".")
    return _in_module(module, name, 0) if module else None


def classes_of(module: str) -> list[str]:
    """The public classes that a module defines, by their names."""
    file = locate(module)
    tree = None if file is None else _parsed(file)
    return [
        node.name
        for node in (tree.body if tree else ())
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]


def signature_of(found: Found) -> inspect.Signature | None:
    """The arguments of a class or function as in ``inspect.signature``; only defaults differ."""
    if isinstance(found.node, ast.FunctionDef):
        return _from_arguments(found.node, skip=0)
    for owner in _family(found):
        if owner is None:
            return None
        if owner.full_name in _KNOWN:
            return _KNOWN[owner.full_name]
        assert isinstance(owner.node, ast.ClassDef)
        if owner.node.decorator_list or owner.node.keywords or "__new__" in _methods(owner.node):
            return None
        init = _methods(owner.node).get("__init__")
        if init is not None:
            return _from_arguments(init, skip=1)
    return _NONE


def is_derived(found: Found, names: tuple[str, ...]) -> bool:
    """Whether a class is certainly one of these, or derived from one of them."""
    for owner in _family(found):
        if owner is None:
            return False
        if owner.full_name in names:
            return True
    return False


def has_method(found: Found, name: str) -> bool:
    """Whether a class certainly has a method."""
    for owner in _family(found):
        if owner is None:
            return False
        if isinstance(owner.node, ast.ClassDef) and name in _methods(owner.node):
            return True
    return False


@lru_cache(maxsize=128)
def class_texts(found: Found, name: str) -> tuple[str, ...] | None:
    """The texts of a tuple or list that objects of a class certainly have as an attribute.

    None where anything in the modules of its family could give it another value.
    """
    family = list(_family(found))
    for owner in family:
        if owner is None or _may_set(owner, name):
            return None
    for owner in family:
        assert owner is not None
        for node in owner.node.body if isinstance(owner.node, ast.ClassDef) else ():
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                if node.name == name:
                    return None
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if [ast.unparse(target) for target in targets] == [name]:
                    return _texts(node.value)
                if _may_bind(node, name):
                    return None
            elif _may_bind(node, name):
                return None
    return None


def _may_set(owner: Found, name: str) -> bool:
    """Whether the module of a class may set an attribute in other ways than in its body."""
    if owner.full_name in _KNOWN:
        return False
    node, tree = owner.node, _parsed(owner.file)
    if tree is None or not isinstance(node, ast.ClassDef):
        return True
    if node.decorator_list or node.keywords or {"__new__", "__getattribute__"} & {*_methods(node)}:
        return True
    return sum(_binds_in_body(part, name) for part in node.body) > 1 or any(
        (isinstance(part, ast.Attribute) and part.attr == name and not _is_read(part))
        or (isinstance(part, ast.Name) and part.id in ("setattr", "vars", "exec"))
        or (isinstance(part, ast.Attribute) and part.attr in ("__dict__", "__setattr__"))
        for part in ast.walk(tree)
    )


def _binds_in_body(node: ast.stmt, name: str) -> bool:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return node.name == name
    return _may_bind(node, name)


def _is_read(node: ast.Attribute) -> bool:
    return isinstance(node.ctx, ast.Load)


def _texts(value: ast.expr | None) -> tuple[str, ...] | None:
    if not isinstance(value, (ast.Tuple, ast.List)):
        return None
    texts = [one.value for one in value.elts if isinstance(one, ast.Constant)]
    is_sure = len(texts) == len(value.elts) and all(isinstance(text, str) for text in texts)
    return tuple(map(str, texts)) if is_sure else None


def _family(found: Found, depth: int = 0) -> Iterator[Found | None]:
    """A class and what it is derived from, in the order of one line of descent.

    None where a base cannot be read. Of several bases all are given, the first with its own
    family before the second, which is Python's order wherever they share none.
    """
    yield found
    if not isinstance(found.node, ast.ClassDef):
        return
    for base in found.node.bases:
        if isinstance(base, ast.Subscript):
            base = base.value
        parent = _named(ast.unparse(base), found.module, depth)
        if parent is None or depth > _DEEPEST:
            yield None
            return
        yield from _family(parent, depth + 1)


def _methods(node: ast.ClassDef) -> dict[str, ast.FunctionDef]:
    return {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}


def _from_arguments(node: ast.FunctionDef, skip: int) -> inspect.Signature | None:
    """The signature of a function that nothing decorates."""
    if node.decorator_list:
        return None
    kinds, arguments = inspect.Parameter, node.args
    found: list[inspect.Parameter] = []

    def add(argument: ast.arg, kind: Any, has_default: bool) -> None:
        default = None if has_default else kinds.empty
        found.append(kinds(argument.arg, kind, default=default))

    places = [*arguments.posonlyargs, *arguments.args]
    plain = len(places) - len(arguments.defaults)
    for index, argument in enumerate(places):
        only = index < len(arguments.posonlyargs)
        kind = kinds.POSITIONAL_ONLY if only else kinds.POSITIONAL_OR_KEYWORD
        if index >= skip:
            add(argument, kind, index >= plain)
    if arguments.vararg:
        add(arguments.vararg, kinds.VAR_POSITIONAL, False)
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        add(argument, kinds.KEYWORD_ONLY, default is not None)
    if arguments.kwarg:
        add(arguments.kwarg, kinds.VAR_KEYWORD, False)
    return inspect.Signature(found)


# Names


def _named(text: str, module: str, depth: int) -> Found | None:
    """What an expression of names, as ``nn.Module``, means in a module."""
    first, *rest = text.split(".")
    if not all(part.isidentifier() for part in (first, *rest)):
        return None
    if not rest:
        if first == "object":
            return Found("builtins", Path(), None, "object")._replace(module="", name="object")
        return _in_module(module, first, depth + 1)
    target = _module_under(module, first)
    if target is None:
        return None
    return _in_module(".".join([target, *rest[:-1]]), rest[-1], depth + 1)


def _in_module(module: str, name: str, depth: int) -> Found | None:
    """What a module has under a name, however often it is re-exported."""
    if f"{module}.{name}" in _KNOWN:
        return Found(module, Path(), None, name)
    file = locate(module)
    tree = None if file is None or depth > _DEEPEST else _parsed(file)
    if tree is None or file is None:
        return None
    found: Found | None = None
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name:
            found = Found(module, file, node, name)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                source = _source_of(node, module, file)
                if source and alias.name == "*":
                    found = _in_module(source, name, depth + 1) or found
                elif source and (alias.asname or alias.name) == name:
                    found = _in_module(source, alias.name, depth + 1)
        elif _may_bind(node, name):
            return None
    return found


def _may_bind(node: ast.stmt, name: str) -> bool:
    """Whether some other statement of a module may give a name another meaning."""
    if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.Import, ast.Expr)):
        return isinstance(node, ast.Import) and any(
            (alias.asname or alias.name) == name for alias in node.names
        )
    return any(
        (isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store) and part.id == name)
        or (isinstance(part, (ast.ClassDef, ast.FunctionDef)) and part.name == name)
        or (
            isinstance(part, (ast.Import, ast.ImportFrom))
            and any((alias.asname or alias.name) == name for alias in part.names)
        )
        for part in ast.walk(node)
    )


def _module_under(module: str, name: str) -> str | None:
    """The module that a name of a module stands for."""
    file = locate(module)
    tree = None if file is None else _parsed(file)
    if tree is None or file is None:
        return None
    found: str | None = None
    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname == name or (not alias.asname and alias.name == name):
                    found = alias.name
                elif not alias.asname and alias.name.partition(".")[0] == name:
                    found = name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    source = _source_of(node, module, file)
                    inner = f"{source}.{alias.name}" if source else ""
                    found = inner if inner and locate(inner) else None
        elif _may_bind(node, name):
            return None
    return found


def _source_of(node: ast.ImportFrom, module: str, file: Path) -> str | None:
    """The module that a ``from … import`` takes from."""
    if not node.level:
        return node.module
    parts = module.split(".")
    up = node.level - (1 if file.name == "__init__.py" else 0)
    base = parts[: len(parts) - up] if up else parts
    return ".".join([*base, node.module] if node.module else base) if base else None


@lru_cache(maxsize=512)
def locate(module: str) -> Path | None:
    """The source file of a module; None where it has none, or is nowhere."""
    top, *rest = module.split(".")
    path = _OURS if top == _OURS.parent.name else _file_of(top)
    if path is None:
        return None
    for part in rest:
        if path.name != "__init__.py":
            return None
        folder = path.parent / part / "__init__.py"
        plain = path.parent / f"{part}.py"
        if folder.is_file():
            path = folder
        elif plain.is_file():
            path = plain
        else:
            return None
    return path


def _file_of(top: str) -> Path | None:
    """The source file of a module on Python's path."""
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin)


@lru_cache(maxsize=128)
def _parsed(file: Path) -> ast.Module | None:
    try:
        return ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None
