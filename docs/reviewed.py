"""Keeps the lists in ``torchassistant/assembly/reviewed``: what each library callable does.

``python docs/reviewed.py`` adds what the installed versions of torch, torchvision, torchmetrics,
and our own catalogue, have and the lists lack, with the verdict ``new``. A person reads the code,
and writes one of the others: ``torchassistant/assembly/reviewed_callables.py`` says what each
means. What the lists have and the installed versions lack stays, since other versions have it.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from torchassistant.assembly.allowlist import LIBRARIES, Allowlist, is_for_reviewers
from torchassistant.assembly.origin import layers_of, name_of
from torchassistant.assembly.reviewed_callables import LISTS


def to_be_reviewed(library: str) -> dict[str, Any]:
    """The callables of a library that a config can name, if they are reviewed so, by full name."""
    found: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for value in _reached(importlib.import_module(library)):
            outer = layers_of(value)[0]
            if is_for_reviewers(outer):
                name = name_of(outer)
                if name.partition(".")[0] == library and name.replace(".", "").isidentifier():
                    found.setdefault(name, value)
    return found


def _reached(library: ModuleType) -> Iterator[Any]:
    """What a config, or a module of the user's, can get from a library: all that has a name."""
    allowlist = Allowlist()
    waiting: list[Any] = [library]
    seen: dict[int, Any] = {}
    while waiting:
        holder = waiting.pop()
        if id(holder) in seen:
            continue
        seen[id(holder)] = holder
        names = {name for name in dir(holder) if not name.startswith("_")}
        if isinstance(holder, ModuleType):
            # Some modules make a name only when it is asked for.
            names.update(vars(holder).get("__all__", ()))
            waiting += _modules_in(holder, allowlist)
        for name in sorted(names):
            value = getattr(holder, name, None)
            if isinstance(value, ModuleType):
                waiting += [value] if allowlist.may_look_into(value) else []
            elif callable(value):
                yield value
                waiting += [value] if inspect.isclass(value) and is_for_reviewers(value) else []


def _modules_in(package: ModuleType, allowlist: Allowlist) -> Iterator[ModuleType]:
    for info in pkgutil.iter_modules(vars(package).get("__path__", [])):
        full = f"{package.__name__}.{info.name}"
        if allowlist.may_import(full):
            # Not by attribute: a function of the package may have the name of its module.
            yield importlib.import_module(full)


def lines_of(library: str) -> dict[str, str]:
    """The list of a library as it is, by full name."""
    file = LISTS / f"{library}.txt"
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    return {line.partition(" ")[0]: line for line in text.splitlines()}


def missing_in(library: str) -> list[str]:
    """The full names of what nobody has reviewed."""
    lines = lines_of(library)
    return sorted(
        name for name in to_be_reviewed(library) if lines.get(name, "new").endswith("new")
    )


def complete(library: str) -> None:
    """Write what the list lacks, to be reviewed."""
    lines = {name: f"{name} new" for name in missing_in(library)} | lines_of(library)
    text = "".join(f"{lines[name]}\n" for name in sorted(lines))
    (LISTS / f"{library}.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for one in LIBRARIES:
        complete(one)
        for unreviewed in missing_in(one):
            print(f"to be reviewed: {unreviewed}")
