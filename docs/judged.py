"""Keeps the lists of ``torchassistant/build/judged``: what each callable of the libraries does.

``python docs/judged.py`` adds what the installed versions of torch, torchvision, torchmetrics, and
our own catalogue, have and the lists lack, with the verdict ``new``. A person reads the code, and
writes one of the others: ``torchassistant/build/judging.py`` says what each means. What the lists
have and the installed versions lack stays, since other versions have it.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from torchassistant.build.judging import LISTS
from torchassistant.build.origin import layers_of, name_of
from torchassistant.build.trust import LIBRARIES, Trust, is_for_judges


def to_be_judged(library: str) -> dict[str, Any]:
    """The callables of a library that a config can name, if they are judged so, by full name."""
    found: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for value in _reached(importlib.import_module(library)):
            outer = layers_of(value)[0]
            if is_for_judges(outer):
                name = name_of(outer)
                if name.partition(".")[0] == library and name.replace(".", "").isidentifier():
                    found.setdefault(name, value)
    return found


def _reached(library: Any) -> Iterator[Any]:
    """What a dotted path may lead to that begins with a library."""
    trust = Trust()
    waiting = [library]
    seen: dict[int, Any] = {}
    while waiting:
        holder = waiting.pop()
        for name in _names_in(holder, trust):
            value = getattr(holder, name, None)
            if isinstance(value, ModuleType):
                opens = trust.may_look_into(value)
            else:
                opens = inspect.isclass(value) and is_for_judges(value)
                if callable(value):
                    yield value
            if opens and id(value) not in seen:
                seen[id(value)] = value
                waiting.append(value)


def _names_in(holder: Any, trust: Trust) -> list[str]:
    """The public names of a module or class; the modules of a package are imported."""
    names = {name for name in dir(holder) if not name.startswith("_")}
    if isinstance(holder, ModuleType):
        for info in pkgutil.iter_modules(vars(holder).get("__path__", [])):
            full = f"{holder.__name__}.{info.name}"
            if not info.name.startswith("_") and trust.may_import(full):
                names.add(info.name)
                importlib.import_module(full)
    return sorted(names)


def lines_of(library: str) -> dict[str, str]:
    """The list of a library as it is, by full name."""
    file = LISTS / f"{library}.txt"
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    return {line.partition(" ")[0]: line for line in text.splitlines()}


def missing_in(library: str) -> list[str]:
    """The full names of what nobody has judged."""
    lines = lines_of(library)
    return sorted(name for name in to_be_judged(library) if lines.get(name, "new").endswith("new"))


def complete(library: str) -> None:
    """Write what the list lacks, to be judged."""
    lines = {name: f"{name} new" for name in missing_in(library)} | lines_of(library)
    text = "".join(f"{lines[name]}\n" for name in sorted(lines))
    (LISTS / f"{library}.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for one in LIBRARIES:
        complete(one)
        for unjudged in missing_in(one):
            print(f"to be judged: {unjudged}")
