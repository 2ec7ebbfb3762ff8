"""Where an object was defined, and what it wraps; none of its code is run to tell."""

from __future__ import annotations

import functools
import inspect
import sys
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

# Modules in C, by the name under which people know them.
_KNOWN_AS = {"posix": "os", "nt": "os", "posixpath": "os.path", "ntpath": "os.path", "_io": "io"}


def home_of(found: Any) -> str:
    """The module that defines an object; that of its class, where it is an instance."""
    if isinstance(found, ModuleType):
        return _KNOWN_AS.get(found.__name__, found.__name__)
    if isinstance(found, MethodType):
        found = found.__func__
    if not isinstance(found, (type, FunctionType, BuiltinFunctionType)):
        found = type(found)
    name = getattr(found, "__module__", None)
    if isinstance(found, BuiltinFunctionType):
        owner = found.__self__
        if isinstance(owner, ModuleType):
            name = owner.__name__
        elif owner is not None and not name:
            name = _class_with(found.__name__, owner).__module__
        elif not name:
            name = _home_of_static(found)
    name = str(name or "builtins")
    return _KNOWN_AS.get(name, name)


def _home_of_static(found: BuiltinFunctionType) -> str | None:
    """The library of a static method of a class in Rust, which does not say where it is from."""
    own, _, name = found.__qualname__.rpartition(".")
    for library in _WITH_STATICS:
        owner = vars(sys.modules.get(library, object)).get(own)
        if isinstance(owner, type) and getattr(owner, name, None) == found:
            return library
    return None


_WITH_STATICS = ("tokenizers",)


def _class_with(name: str, owner: Any) -> type:
    """The class that a builtin method comes from."""
    bound_to = owner if isinstance(owner, type) else type(owner)
    known = (*inspect.getmro(bound_to), *inspect.getmro(type(bound_to)))
    return next((one for one in known if name in vars(one)), bound_to)


def name_of(found: Any) -> str:
    """The full name under which an object was defined; that of its class for an instance."""
    if isinstance(found, MethodType):
        own = found.__func__.__qualname__
    elif isinstance(found, (FunctionType, BuiltinFunctionType)):
        own = found.__name__
    else:
        own = (found if isinstance(found, type) else type(found)).__qualname__
    return f"{home_of(found)}.{own}"


def is_as_defined(found: Any) -> bool:
    """Whether a function is the one that its module has under its name, and no method's.

    A class, an instance and a class method, as ``Embedding.from_pretrained``, are always; a method
    of an instance is never.
    """
    if isinstance(found, MethodType):
        return isinstance(found.__self__, type)
    if isinstance(found, (FunctionType, BuiltinFunctionType)):
        # Equal, and not the same: a builtin method is a new object each time.
        return bool(getattr(sys.modules.get(home_of(found)), found.__name__, None) == found)
    return True


def layers_of(found: Any) -> list[Any]:
    """An object, and what it wraps, to the inmost function; one at least.

    A function counts with what it decorates. Of ``functools.partial``, and of objects that a
    function was decorated with, as by ``functools.lru_cache``, only the function counts.
    """
    layers: list[Any] = []
    for _ in range(_DEEPEST):
        if isinstance(found, functools.partial):
            found = found.func
            continue
        if isinstance(found, MethodType) and not isinstance(found.__func__, FunctionType):
            found = found.__func__
            continue
        wrapped = _wrapped_by(found)
        if wrapped is None or isinstance(found, (FunctionType, MethodType)):
            layers.append(found)
        if wrapped is None:
            return layers
        found = wrapped
    return [*layers, found]


_DEEPEST = 100
"""Who wraps more often than this wraps in a circle."""


def _wrapped_by(found: Any) -> Any:
    """What ``functools.update_wrapper`` noted, or None. No code of the object is run."""
    if isinstance(found, type):
        return None
    if isinstance(found, MethodType):
        found = found.__func__
    return inspect.getattr_static(found, "__wrapped__", None)
