"""Whether what a config names can play the role that it is there for."""

from __future__ import annotations

import inspect
import pkgutil
import typing
from functools import cache
from types import FunctionType, UnionType
from typing import Any

from torch import nn

from torchassistant.assembly.object_kinds import called_by, kind_of
from torchassistant.compat.python import is_protocol
from torchassistant.config import Role
from torchassistant.errors import with_article


def given_to(role: Role, target: Any) -> tuple[str, ...]:
    """The names of the arguments that a class gets before those of the config."""
    return role.given if takes_given(role, target) else ()


def takes_given(role: Role, target: Any) -> bool:
    """Whether a class takes what its role gives."""
    return not (role.only_as and inspect.isclass(target)) or takes_it_first(role, target)


def takes_it_first(role: Role, target: Any) -> bool:
    """Whether this is a class of the role whose first parameter is what the role gives."""
    if not (inspect.isclass(target) and fits(role, target)):
        return False
    return role.only_as in [*inspect.signature(target).parameters][:1]


def role_misfit(
    role: Role, target: Any, from_session: bool = False, is_called: bool = False
) -> str | None:
    """Why what was found cannot play a role, or None where it can, or may.

    Args:
        role: What it is there for.
        target: The class or function.
        from_session: Whether it is called as a ``factory_fn``.
        is_called: Whether it is known to be called, and not to be the object itself.
    """
    inmost = called_by(target)
    if inspect.isclass(inmost) and not fits(role, inmost):
        return f"is not {with_article(role.noun)}"
    kind = kind_of(inmost)
    if kind is not None and kind not in role.kinds:
        return f"is {with_article(kind)}, not {with_article(role.noun.partition(' (')[0])}"
    if inspect.isclass(inmost):
        return None
    is_itself = role.or_itself and not (is_called or from_session)
    if inspect.isbuiltin(inmost) and not (role.functions or is_itself):
        return f"is not {with_article(role.noun)}, nor a function that returns one"
    if not inspect.isroutine(inmost) and _is_one(role, type(inmost)):
        return "is such an object already, not a class or function that makes one"
    made = None if is_itself else returned_by(inmost)
    if made and not any(_may_be(one, role) for one in made):
        names = " or ".join("None" if one is type(None) else one.__name__ for one in made)
        return f"returns {names}, which is not {with_article(role.noun)}"
    return None


def fits(role: Role, made: type) -> bool:
    """Whether instances of a class can play a role."""
    if role.bases and issubclass(made, classes_named(role.bases)):
        return True
    if not role.methods:
        return not role.bases
    return any(all(_offers(made, name) for name in names) for names in role.methods)


@cache
def classes_named(paths: tuple[str, ...]) -> tuple[type, ...]:
    """The classes of the libraries that dotted names mean."""
    return tuple(pkgutil.resolve_name(path) for path in paths)


def _is_one(role: Role, made: type) -> bool:
    """Whether instances of a class play a role, and cannot be what makes such instances."""
    return fits(role, made) and not fits(role, FunctionType)


def returned_by(function: Any) -> list[type]:
    """The classes of which a function says that it returns one; empty where it does not say."""
    if not inspect.isroutine(function):
        function = type(function).__call__
    try:
        function = inspect.unwrap(function)
        hint = function.__annotations__["return"]
        # Alone, because what the other hints name may be known to type checkers only.
        alone = type("", (), {"__annotations__": {"": hint}})
        return _classes_in(typing.get_type_hints(alone, function.__globals__)[""])
    except Exception:  # there may be no hint; and those of the user may name anything
        return []


def _classes_in(hint: Any) -> list[type]:
    """The classes of a hint; empty where one of its alternatives may be anything."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, UnionType):
        alternatives = [_classes_in(one) for one in typing.get_args(hint)]
        return [one for many in alternatives for one in many] if all(alternatives) else []
    hint = origin or hint
    return [hint] if inspect.isclass(hint) and hint is not Any else []


def _may_be(made: type, role: Role) -> bool:
    """Whether a function that is said to return this may return something that fits."""
    is_open = made is object or inspect.isabstract(made) or is_protocol(made)
    return is_open or fits(role, made)


def _offers(made: type, name: str) -> bool:
    """Whether instances of a class have, or may have, a method."""
    # Not hasattr: that would find what the class itself has, and each can be called.
    if any(name in vars(base) for base in made.__mro__):
        return True
    if name.startswith("__"):
        return False
    # It may be set on the instance, or be handed on to something else.
    for base in made.__mro__:
        maker = getattr(vars(base).get("__init__"), "__code__", None)
        if maker is not None and name in maker.co_names:
            return True
        if "__getattr__" in vars(base) and base is not nn.Module:
            return True
    return False


def is_itself(target: Any, spec: Any, role: Role) -> bool:
    """Whether a function, or an object that can be called, is the object and not what makes it."""
    bare = spec.class_ and not spec.args and not spec.kwargs
    inmost = called_by(target)
    if not (role.or_itself and bare) or inspect.isclass(inmost):
        return False
    if role.given or not inspect.isroutine(inmost):
        return True
    try:
        inspect.signature(target).bind()
    except TypeError:
        return True
    except ValueError:
        return inspect.isbuiltin(target)
    return False
