"""The source of the user's own classes and functions that a config names, and of what those use."""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
import textwrap
from collections.abc import Collection, Iterator, Mapping
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from torchassistant.assembly.allowlist import Allowlist
from torchassistant.assembly.importing import NotFound, find, find_constant
from torchassistant.assembly.object_checks import described_in
from torchassistant.config import Key, Spec, role_named
from torchassistant.ownership import is_users_file

_MOST = 100


def code_of(
    spec: Spec, allowlist: Allowlist, wanted: Collection[Key] | None = None
) -> dict[str, dict[str, str]]:
    """Source by role, and by dotted name.

    A class brings its bases, and every class and function of the user that its code names.

    Args:
        spec: The config; what it names has been imported already.
        allowlist: Decides what may be imported.
        wanted: Only that of these definitions; None is everything.
    """
    code: dict[str, dict[str, str]] = {}
    for described in described_in(spec, wanted):
        role = described.role or "others"
        if described.kind == "constant":
            _note_constant(described.name, allowlist, code.setdefault(role, {}))
            continue
        try:
            target = find(described.name, role_named(described.role).search_paths, allowlist)
        except NotFound:
            continue
        _gather(target, code.setdefault(role, {}))
    return {role: dict(sorted(found.items())) for role, found in sorted(code.items()) if found}


def _note_constant(path: str, allowlist: Allowlist, found: dict[str, str]) -> None:
    """The value of a constant of the user, as text."""
    try:
        value = find_constant(path, allowlist)
    except NotFound:
        return
    steps = path.split(".")
    modules = (".".join(steps[:end]) for end in range(len(steps) - 1, 0, -1))
    module = next(name for name in modules if name in sys.modules)
    if isinstance(value, Enum):
        _gather(type(value), found)
    elif is_users_file(getattr(sys.modules[module], "__file__", None) or ""):
        name = f"{module}: {path.removeprefix(module)[1:]}"
        found[name] = repr(value) if _is_plain(value) else f"{type(value)} {_digest(value)}"


def _digest(value: Any) -> str:
    """The same for values that are the same, through and through."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        value = [str(value.dtype), [*value.shape], value.tolist()]
    elif isinstance(value, dict):
        value = [[_digest(key), _digest(item)] for key, item in value.items()]
    elif isinstance(value, (set, frozenset)):
        value = sorted(map(_digest, value))
    elif isinstance(value, (list, tuple)):
        value = [str(type(value)), *map(_digest, value)]
    return hashlib.sha256(repr(value).encode()).hexdigest()


_LONGEST = 2**20
"""Characters of a source that is parsed."""


def meaning(source: str) -> str:
    """What a source does: the same for sources that differ in comments, layout, docstrings.

    It may be anybody's; what is no source, or too long or too deep for one, is itself.
    """
    if len(source) > _LONGEST:
        return source
    try:
        return _dumped(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return source


def _dumped(source: str) -> str:
    tree = ast.parse(textwrap.dedent(source))
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0]
            is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            if is_text and len(node.body) > 1:
                node.body = node.body[1:]
    return ast.dump(tree)


def _gather(target: Any, found: dict[str, str]) -> None:
    waiting = [target]
    while waiting:
        item = waiting.pop()
        if inspect.ismethod(item):
            item = item.__func__
        if not (inspect.isclass(item) or inspect.isfunction(item)):
            item = type(item)
        name = f"{item.__module__}.{item.__qualname__}"
        source = None if name in found else _source(item)
        if source is None:
            continue
        found[name] = source
        waiting += getattr(item, "__mro__", ())[1:]
        module = sys.modules.get(item.__module__)
        if not is_users_file(getattr(module, "__file__", None) or ""):
            continue
        for named, value in _named_in(source, vars(module)):
            if _is_plain(value):
                found[f"{item.__module__}: {named}"] = repr(value)
            else:
                waiting.append(value)


def _source(item: Any) -> str | None:
    """The source of a class or function of the user, where it is to be had."""
    try:
        file = inspect.getsourcefile(item)
        if not file or not is_users_file(file):
            return None
        place = _place(inspect.unwrap(item))
        if place is None:
            return inspect.getsource(item)
        if place not in _SOURCES:
            _SOURCES[place] = inspect.getsource(item)
        return _SOURCES[place]
    except (OSError, TypeError):
        return None


_SOURCES: dict[tuple[object, ...], str] = {}
"""Sources by their places: for each, Python parses the whole file."""


def _place(item: Any) -> tuple[object, ...] | None:
    """Where a class or function is written, and when that was; None for a cell of a notebook."""
    file = inspect.getsourcefile(item)
    if not file or not Path(file).is_file():
        return None
    written = Path(file).stat()
    code = getattr(item, "__code__", None)
    line = code.co_firstlineno if code else vars(item).get("__firstlineno__")
    name = (item.__module__, item.__qualname__, line)
    return (file, written.st_mtime_ns, written.st_size, *name)


def _named_in(source: str, module: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What a source names, of what its module knows: dotted names, and what they mean."""
    for name in _names_in(source):
        value = _meant(name.split("."), module)
        if inspect.isclass(value) or inspect.isfunction(value) or _is_plain(value):
            yield name, value


@lru_cache(maxsize=512)
def _names_in(source: str) -> tuple[str, ...]:
    """The dotted names in a source, in order."""
    try:
        tree = ast.parse(textwrap.dedent(source))
    except SyntaxError:
        return ()
    nodes = (node for node in ast.walk(tree) if isinstance(node, (ast.Name, ast.Attribute)))
    return tuple(dict.fromkeys(map(ast.unparse, nodes)))


def _meant(steps: list[str], module: Mapping[str, Any]) -> Any:
    """What a dotted name means, where all but its last step are modules."""
    value = module.get(steps[0])
    for step in steps[1:]:
        value = getattr(value, step, None) if inspect.ismodule(value) else None
    return value


def _is_plain(value: Any) -> bool:
    """Whether a constant says all that there is to it when it is printed."""
    if type(value) in (tuple, list, frozenset):
        return len(value) <= _MOST and all(_is_plain(item) for item in value)
    return type(value) in (int, float, bool, str)
