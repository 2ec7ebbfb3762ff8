"""What a function hands its ``**kwargs`` on to, read from its source."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from typing import Any

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_READS = ("get", "pop", "setdefault")
_DEEPEST = 6


class _Unclear(Exception):
    """It cannot be told for certain."""


@cache
def handed_on(target: Any) -> dict[str, inspect.Parameter | None] | None:
    """The arguments that a function takes by name without naming them itself.

    Args:
        target: A function with ``**kwargs``, or a class whose ``__init__`` has them.

    Returns:
        Each with the parameter of what gets it in the end, or None for what the function itself
        takes out; None where the source does not tell all of them.
    """
    try:
        return dict(_behind(target, 0))
    except (_Unclear, OSError, TypeError, ValueError, SyntaxError, AttributeError):
        return None


def _behind(target: Any, depth: int) -> Iterator[tuple[str, inspect.Parameter | None]]:
    function = inspect.unwrap(target.__init__ if inspect.isclass(target) else target)
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    if depth > _DEEPEST or not isinstance(tree, ast.FunctionDef) or tree.args.kwarg is None:
        raise _Unclear
    name = tree.args.kwarg.arg
    left = {id(node) for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == name}
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and _is(node.value, name):
            left.discard(id(node.value))  # sets, or reads, what has a name among the others
        if isinstance(node, ast.Compare):
            left -= {id(one) for one in node.comparators}
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Attribute) and _is(node.func.value, name):
            left.discard(id(node.func.value))
            yield _taken_out(node), None
        for argument in node.args:
            if _is(argument, name) and isinstance(node.func, ast.Name) and node.func.id[0] == "_":
                left.discard(id(argument))  # a helper of the module sets what has a name there
        for keyword in node.keywords:
            if keyword.arg is None and _is(keyword.value, name):
                left.discard(id(keyword.value))
                yield from _taken_by(node, target, function, depth)
    if left:
        raise _Unclear


def _is(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _taken_out(call: ast.Call) -> str:
    """The name that ``kwargs.pop("name")`` and the like take out."""
    assert isinstance(call.func, ast.Attribute)
    first = call.args[0] if call.args else None
    if (
        call.func.attr in _READS
        and isinstance(first, ast.Constant)
        and isinstance(first.value, str)
    ):
        return first.value
    raise _Unclear


def _taken_by(
    call: ast.Call, target: Any, function: Any, depth: int
) -> Iterator[tuple[str, inspect.Parameter | None]]:
    """What may be handed on in a call, beside what stands in it."""
    called = _called(call.func, target, function)
    parameters = list(inspect.signature(called).parameters.values())
    # How many come from a list cannot be told, so that their names count as free.
    places = next((i for i, one in enumerate(call.args) if isinstance(one, ast.Starred)), None)
    own = {p.name for p in parameters[: len(call.args) if places is None else places]}
    own |= {keyword.arg for keyword in call.keywords if keyword.arg is not None}
    yield from ((p.name, p) for p in parameters if p.kind in _BY_NAME and p.name not in own)
    if any(p.kind == inspect.Parameter.VAR_KEYWORD for p in parameters):
        yield from ((n, p) for n, p in _behind(called, depth + 1) if n not in own)


def _called(node: ast.expr, target: Any, function: Any) -> Any:
    """What is called in a function, where that is a name of its module, or the base class."""
    if isinstance(node, ast.Name) and node.id in function.__globals__:
        return function.__globals__[node.id]
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return getattr(function.__globals__.get(node.value.id), node.attr)
    if ast.unparse(node) == "super().__init__" and inspect.isclass(target):
        owner = next(base for base in target.__mro__ if "__init__" in vars(base))
        return target.__mro__[target.__mro__.index(owner) + 1]
    raise _Unclear
