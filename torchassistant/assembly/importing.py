"""From a dotted path, or a short name, to the Python object that it names."""

from __future__ import annotations

import os
import pkgutil
import sys
from collections.abc import Sequence
from copy import deepcopy
from enum import Enum
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NoReturn

import numpy as np
import torch

from torchassistant.assembly.allowlist import (
    LIBRARIES,
    PRESETS,
    Allowlist,
    is_for_reviewers,
    spec_of,
)
from torchassistant.assembly.origin import home_of, name_of
from torchassistant.assembly.reviewed_callables import verdict_on
from torchassistant.config import TORCHMETRICS, find_source, signature_of
from torchassistant.errors import UserCodeError, all_near, near, with_article
from torchassistant.import_garbage import imports_uncollected


class NotFound(Exception):
    """There is no such object; the message is a sentence for the user.

    Args:
        message: The sentence.
        meant: Dotted paths of what may have been meant, the most likely first.
    """

    def __init__(self, message: str, meant: Sequence[str] = ()) -> None:
        self.meant = meant
        super().__init__(message)


class Refused(NotFound):
    """There may be such an object, and the config may not have it."""


class ImportFailure(UserCodeError):
    """A module of the user raised while it was imported; the cause is the original.

    Args:
        module: Its full name.
    """

    def __init__(self, module: str) -> None:
        self.module = module
        super().__init__(f'importing the module "{module}"')


def find(path: str, homes: Sequence[str], allowlist: Allowlist) -> Any:
    """The object at a dotted path, or the one of a short name in the first home that has it.

    Args:
        path: As the config has it.
        homes: Modules of which a short name may stand for an object.
        allowlist: Decides what may be imported, and what of it may be used.

    Raises:
        NotFound: There is none; the message names the part that fails and the nearest name.
        Refused: It may not be used. Nothing of it was called, and a module that may not be
            imported was not.
        UserCodeError: A module of the user raised while it was imported.
    """
    found = _by_path(path, allowlist) if "." in path else _by_short_name(path, homes, allowlist)
    if not callable(found):
        kind = "module" if isinstance(found, ModuleType) else type(found).__name__
        raise NotFound(f'"{path}" is {with_article(kind)}, which cannot be called')
    stranger = allowlist.stranger_in(found)
    # What was named to be allowlist, letter by letter, is trusted wherever it comes from.
    if stranger is not None and path not in allowlist.modules:
        if is_for_reviewers(stranger) or allowlist.is_of_preset(stranger):
            raise _unreviewed(path, stranger)
        # Nobody is told to trust all of torch, where torch.compile is defined.
        home = home_of(stranger)
        raise _refused(path, name_of(stranger) if home in LIBRARIES else _to_trust(home))
    return found


def find_constant(path: str, allowlist: Allowlist) -> Any:
    """The value at a dotted path, for use as an argument; what can be changed, as a copy.

    Raises:
        NotFound: There is none, or it is no plain value.
        Refused: It may not be used.
        UserCodeError: A module of the user raised while it was imported.
    """
    found = _by_path(path, allowlist)
    if isinstance(found, Enum):
        home = home_of(found)
        if not allowlist.may_come_from(home):
            raise _refused(path, home)
        return found
    if is_plain(found):
        return deepcopy(found)
    if callable(found) and not isinstance(found, ModuleType):
        raise NotFound(
            f'"{path}" is not a constant, but can be called: {{"function": "{path}"}} gives it as '
            f'it is, {{"class": "{path}"}} what it returns'
        )
    kind = "module" if isinstance(found, ModuleType) else type(found).__name__
    raise NotFound(
        f'"{path}" is {with_article(kind)}, and no constant: a number, a text, a path, a dtype or '
        "the like, a member of an enum, a tensor, or a list, tuple, set or dict of those"
    )


def is_plain(value: Any, depth: int = 0) -> bool:
    """Whether a value is data through and through, so that a copy of it says all that it says."""
    if type(value) in _LEAVES or isinstance(value, np.generic):
        return not (isinstance(value, torch.Tensor) and value.requires_grad)
    if depth > _DEEPEST:
        return False
    if type(value) is dict:
        value = [*value.keys(), *value.values()]
    return type(value) in (list, tuple, set, frozenset) and all(
        is_plain(item, depth + 1) or isinstance(item, Enum) for item in value
    )


_DEEPEST = 20
_LEAVES = (
    *(type(None), bool, int, float, complex, str, bytes, range, type(Path())),
    *(np.ndarray, torch.Tensor, torch.Size),
    *(torch.dtype, torch.device, torch.layout, torch.memory_format),
)


def meant_by(path: str, allowlist: Allowlist) -> Any | None:
    """What a dotted path may have been meant to name, without importing anything for it.

    Returns:
        The object, where its module is imported; what its source tells of it, where that can be
        read; else None.
    """
    if path.rpartition(".")[0] not in sys.modules:
        return read_only(path)
    try:
        return find(path, (), allowlist)
    except (NotFound, UserCodeError):
        return None


def read_only(path: str) -> Any | None:
    """Something with the name and the signature of what a dotted path names, from its source."""
    found = find_source(path)
    signature = None if found is None else signature_of(found)
    if found is None or signature is None:
        return None

    def nothing(*args: Any, **kwargs: Any) -> None:
        """Is never called."""

    nothing.__signature__ = signature  # type: ignore[attr-defined]
    nothing.__qualname__, nothing.__module__ = found.name, found.module
    return nothing


def _to_trust(module: str) -> str:
    """What somebody is told to trust who wants something of a module."""
    top = module.partition(".")[0]
    return top if top in PRESETS else module


def _refused(path: str, module: str) -> Refused:
    where = f', which "{module}" defines,' if not f"{path}.".startswith(f"{module}.") else ""
    return Refused(
        f'"{path}"{where} may not be used: a config may name torchassistant\'s classes, the '
        "modelling parts of torch, torchvision and torchmetrics, and modules below the working "
        f"directory; --trust {module} on the command line allows more"
    )


def _unreviewed(path: str, found: Any) -> Refused:
    """Tell of something that was reviewed to be for no config, or that nobody has reviewed yet."""
    name = name_of(found)
    where = f', which is "{name}",' if path != name else ""
    library = name.partition(".")[0]
    why = f"it is internal machinery of {library}"
    if verdict_on(found).kind == "new":
        why = f"this callable of the installed {library} has not been reviewed yet"
    if library in PRESETS:
        why = f"it is not among what has been reviewed of {library}, which --trust {library} allows"
    return Refused(
        f'"{path}"{where} may not be used: {why}; --trust {name} on the command line allows it'
    )


def _in_the_way(path: str, top: str, whose: str) -> Refused:
    message = f'a module below the working directory is named "{top}", as {whose}'
    return Refused(f'"{path}" may not be used: {message}; give it another name')


def _by_short_name(name: str, homes: Sequence[str], allowlist: Allowlist) -> Any:
    known: dict[str, str] = {}
    for home in homes:
        top = home.partition(".")[0]
        if allowlist.is_hidden(top):
            raise _in_the_way(name, top, "a library is")
        for module in modules_of(home):
            found = getattr(module, name, None)
            # What torchmetrics itself has under a name of another class is deprecated.
            is_own = home != TORCHMETRICS or getattr(found, "__name__", name) == name
            if callable(found) and is_own and not name.startswith("_"):
                return found
            names = _offered(module, top)
            known = {n: f"{module.__name__}.{n}" for n in names} | known
    if not homes:
        raise NotFound(f'"{name}" is not a dotted path, as "my_package.my_module.MyClass"')
    where = " and ".join(home.removesuffix(".*") for home in homes)
    meant = [known[other] for other in all_near(name, known)]
    raise NotFound(f'"{name}" is not found in {where}{near(name, known)}', meant)


def _offered(module: ModuleType, library: str) -> list[str]:
    """What a home of short names is there for: the classes of its library, else its functions."""
    public = {name: getattr(module, name) for name in dir(module) if not name.startswith("_")}
    classes = [n for n, found in public.items() if n[0].isupper() and _is_part_of(library, found)]
    functions = (n for n, found in public.items() if isinstance(found, FunctionType))
    return classes or [n for n in functions if public[n].__module__ == module.__name__]


def _is_part_of(library: str, found: Any) -> bool:
    """Whether a library defines what one of its modules has; exceptions are for nobody's config."""
    home = getattr(found, "__module__", None)
    is_error = isinstance(found, type) and issubclass(found, BaseException)
    return isinstance(home, str) and home.partition(".")[0] == library and not is_error


def modules_of(home: str) -> list[ModuleType]:
    """The modules that a home of short names stands for: of torchmetrics, also its domains."""
    if home != TORCHMETRICS:
        return [import_module(home)]
    root = import_module("torchmetrics")
    domains = [
        info.name
        for info in pkgutil.iter_modules(root.__path__)
        if info.ispkg and info.name not in ("functional", "utilities")
    ]
    return [root, *(import_module(f"torchmetrics.{name}") for name in domains)]


def _by_path(path: str, allowlist: Allowlist) -> Any:
    parts = path.split(".")
    if not all(part.isidentifier() for part in parts):
        raise NotFound(f'"{path}" is not a dotted path, as "my_package.my_module.MyClass"')
    if any(part.startswith("__") for part in parts):
        raise Refused(f'"{path}" may not be used: a config cannot use Python\'s special names')
    top = parts[0]
    if not allowlist.may_import(top):
        _refuse_module(path, ".".join(parts[:-1]), top, allowlist)
    if allowlist.is_hidden(top):
        raise _in_the_way(path, top, "a library is")
    found: Any = _module(top)
    if found is None:
        raise _no_module(path, top)
    for end in range(1, len(parts)):
        found = _below(found, ".".join(parts[:end]), parts[end], path, allowlist)
    return found


def _refuse_module(path: str, module: str, top: str, allowlist: Allowlist) -> NoReturn:
    """Refuse a module that is not imported."""
    if allowlist.has_namesake(top):
        raise _in_the_way(path, top, "one of Python's own is")
    if not _exists(top):
        raise _no_module(path, top)
    raise _refused(path, _to_trust(module))


def _no_module(path: str, top: str) -> NotFound:
    known = [*_local_modules(), *LIBRARIES]
    meant = [module + path.removeprefix(top) for module in all_near(top, known)]
    why = f'there is no module "{top}"{near(top, known)}'
    return NotFound(f'"{path}" cannot be imported: {why}', meant)


def _below(holder: Any, before: str, name: str, path: str, allowlist: Allowlist) -> Any:
    """What ``holder``, which ``before`` names, has under a name."""
    home = home_of(holder)
    is_librarys = home.partition(".")[0] in LIBRARIES
    if name.startswith("_") and is_librarys and not allowlist.leads_to_trusted(f"{home}.{name}"):
        raise Refused(f'"{path}" may not be used: "{name}" is private to "{before}"')
    is_module = isinstance(holder, ModuleType)
    if is_module and name not in vars(holder) and name in _parts_of(holder):
        module = f"{home}.{name}"
        if not allowlist.may_import(module, holder):
            raise _refused(path, module)
        below = _module(module)
        if below is not None:
            return below
    found = _attribute(holder, before, name)
    if found is _MISSING:
        known = [n for n in dir(holder) if not n.startswith("_")]
        known += _parts_of(holder) if is_module else []
        rest = path.removeprefix(f"{before}.{name}")
        meant = [f"{before}.{other}{rest}" for other in all_near(name, known)]
        raise NotFound(f'"{before}" has no "{name}"{near(name, known)}', meant)
    if isinstance(found, ModuleType) and not allowlist.may_look_into(found):
        raise _refused(path, home_of(found))
    return found


_MISSING = object()


def _attribute(holder: Any, before: str, name: str) -> Any:
    """An attribute, or ``_MISSING``; a module may run code of its own to find it."""
    try:
        return getattr(holder, name, _MISSING)
    except _RAISED as error:
        raise UserCodeError(f'looking for "{name}" in "{before}"') from error


def _parts_of(package: ModuleType) -> list[str]:
    """The names of the modules of a package; none where it is a plain module."""
    return [info.name for info in pkgutil.iter_modules(vars(package).get("__path__", []))]


def _exists(top: str) -> bool:
    """Whether Python has a module of this name; it is not imported."""
    return top in sys.modules or top in sys.stdlib_module_names or spec_of(top) is not None


def _local_modules() -> list[str]:
    return [info.name for info in pkgutil.iter_modules([os.getcwd()])]


_RAISED = (Exception, SystemExit)
"""What code of the user may raise where only the config is checked: an exit is no answer there."""


def _module(name: str) -> ModuleType | None:
    """The module, or None where there is none of that name."""
    try:
        with imports_uncollected():
            return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            return None
        raise ImportFailure(name) from error
    except _RAISED as error:
        raise ImportFailure(name) from error
