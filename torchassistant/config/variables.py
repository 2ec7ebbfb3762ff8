"""Variables in a config: ``${name}`` and ``${env:NAME,default}``, before it is validated."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from torchassistant.config.text import MAX_DEPTH, as_text, measure
from torchassistant.config.toposort import cycle_text, cycles, postorder
from torchassistant.config.tree import (
    UNREADABLE,
    Past,
    Path,
    Row,
    Table,
    as_tree,
    mark_at,
    remember,
    value_at,
    walk,
)
from torchassistant.errors import near

Note = Callable[[str, Path], None]

SECTION = "variables"
MAX_TEXT = 1024 * 1024  # characters that are put in, over the whole config

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_ENVIRONMENT_NAME = re.compile(r"(?:oc\.)?env:([A-Za-z_][A-Za-z0-9_]*)(?:,(.*))?", re.DOTALL)
"""OmegaConf's spelling too; what stands behind a comma is a text, for where there is none."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_SHOWN = 40  # characters of what the user wrote that a sentence repeats
_MOST_GUESSES = 100  # comparing names is dear


def substitute(tree: Any, environment: Mapping[str, str], note: Note) -> set[Path]:
    """Put the values of variables into the strings of a config, in place.

    ``"${name}"`` becomes the value of a variable, an object or a list too; inside a longer string
    a variable is written as text. ``$${`` is a plain ``${``. The key "variables" is taken away.

    What stands for a variable has the position of the string that used it; what lies deeper in an
    object or a list keeps the position that it has in "variables", where it is to be corrected.

    Args:
        tree: As the reader gives it.
        environment: What ``${env:NAME}``, or ``${oc.env:NAME}``, means.
        note: Is called with a sentence and a path for every problem; the path leads to its value
            at that moment, and those in "variables" lead nowhere afterwards.

    Returns:
        The paths of the strings that were left as they are because of a problem.
    """
    return _Substitution(tree, environment, note).run()


class _Reference(NamedTuple):
    """What stands between ``${`` and ``}``; None where the brace is never closed."""

    inside: str | None


class _Variable(NamedTuple):
    value: Any
    size: int
    depth: int


class _Bad(Exception):
    """A reference that has no value. The message is empty where the cause is reported elsewhere."""


class _Substitution:
    def __init__(self, tree: Any, environment: Mapping[str, str], note: Note) -> None:
        self.tree = tree
        self.environment = environment
        self.note = note
        self.section = tree.get(SECTION, {}) if isinstance(tree, dict) else {}
        self.known = self.section if isinstance(self.section, dict) else {}
        self.names = [name for name in self.known if _is_name(name)]
        self.good: dict[str, _Variable] = {}
        self.spent = 0
        self.guesses = 0

    def run(self) -> set[Path]:
        self.check_section()
        self.resolve()
        if isinstance(self.tree, dict):
            _remove(self.tree, SECTION)
        return {path for text, path in _strings(self.tree) if path and not self.put(text, path)}

    def check_section(self) -> None:
        if not isinstance(self.section, dict) and self.section is not UNREADABLE:
            message = f'"{SECTION}" is an object of names and values, not {_kind(self.section)}'
            self.note(message, (SECTION,))
        for name in self.known:
            if not _is_name(name):
                self.note(
                    f'"{_short(str(name))}" cannot be the name of a variable; '
                    "a name is made of letters, digits, _ and -, and begins with no digit or -",
                    (SECTION, name),
                )

    # The values of the variables

    def resolve(self) -> None:
        """Find the value of each variable, after those of the variables that it uses."""
        uses = {name: self.uses(name) for name in self.known}
        for cycle in cycles(uses):
            text = cycle_text([_short(name) for name in cycle])
            self.note(f"this variable is made of itself: {text}", (SECTION, cycle[0]))
        for name in postorder(uses, uses.__getitem__):
            self.settle(name)

    def uses(self, name: str) -> list[str]:
        """The variables that a variable is made of."""
        found: dict[str, None] = {}
        for text, _ in _strings(self.known[name]):
            for part in _parts(text):
                if isinstance(part, _Reference) and part.inside and part.inside in self.known:
                    found[part.inside] = None
        return list(found)

    def settle(self, name: str) -> None:
        """Keep the value of a variable, if it can be named and everything in it has a value."""
        strings = _strings(self.known[name], (SECTION, name))
        fits = [self.put(text, path) for text, path in strings]
        value = self.known[name]
        if all(fits) and _is_name(name) and value is not UNREADABLE:
            self.good[name] = _Variable(value, *measure(value))

    # Strings

    def put(self, text: str, path: Path) -> bool:
        """Replace one string by what it means; where that fails, report why and leave it."""
        parts = _parts(text)
        alone = len(parts) == 1
        values: list[Any] = []
        problems: dict[str, None] = {}
        for part in parts:
            try:
                values.append(self.value(part, alone, path))
            except _Bad as bad:
                problems[str(bad)] = None
        for message in filter(None, problems):
            self.note(message, path)
        if not problems:
            *above, key = path
            holder = value_at(self.tree, above)
            holder[key] = values[0] if alone else "".join(values)
            mark = mark_at(holder, key)
            if isinstance(holder[key], (Table, Row)):
                holder[key].mark = mark
            if holder[key] != text:
                known = self.known if isinstance(self.known, Table) else None
                remember(holder, key, Past(text, mark, known))
        return not problems

    def value(self, part: str | _Reference, alone: bool, path: Path) -> Any:
        """What a part of a string means.

        Raises:
            _Bad: It is a reference, and has no value that can stand here.
        """
        if isinstance(part, str):
            return part
        variable = self.variable(part)
        text = as_text(variable.value)
        if not alone and text is None:
            raise _Bad(
                f'"{part.inside}" is {_kind(variable.value)}, which cannot stand inside a longer '
                f'string, only alone: "${{{part.inside}}}"'
            )
        if variable.depth and len(path) + variable.depth > MAX_DEPTH:
            raise _Bad(f'with "{part.inside}" put in, this nests deeper than {MAX_DEPTH} levels')
        self.spend(variable.size)
        return as_tree(variable.value) if alone else text

    def variable(self, reference: _Reference) -> _Variable:
        """Look a reference up.

        Raises:
            _Bad: It names nothing, or something that has no value.
        """
        inside = reference.inside
        if inside is None:
            raise _Bad('this "${" is never closed by a "}"; a plain "${" is written "$${"')
        named = _ENVIRONMENT_NAME.fullmatch(inside)
        if named:
            return self.from_environment(named.group(1), named.group(2))
        if inside in self.good:
            return self.good[inside]
        if inside in self.known:
            raise _Bad  # reported in "variables", or by the reader
        if not _is_name(inside):
            raise _Bad(
                f'"${{{_short(inside)}}}" names no variable; write "${{name}}" or '
                '"${env:NAME}", and "$${" for a plain "${"'
            )
        if not isinstance(self.section, dict):
            raise _Bad  # reported in "variables", or by the reader
        self.guesses += 1
        hint = near(inside, self.names) if self.guesses <= _MOST_GUESSES else ""
        raise _Bad(f'no variable is named "{_short(inside)}"{hint}')

    def from_environment(self, name: str, default: str | None) -> _Variable:
        if default is not None and "${" in default:
            raise _Bad(f'what stands in for "{_short(name)}" is plain text, and can use no "${{"')
        value = self.environment.get(name, None if default is None else default.strip())
        if value is None:
            raise _Bad(
                f'the environment has no variable "{_short(name)}"; '
                f'"${{env:{_short(name)},TEXT}}" says what stands in for it'
            )
        if _SURROGATE.search(value):
            raise _Bad(f'the environment variable "{_short(name)}" is not UTF-8 text')
        return _Variable(value, *measure(value))

    def spend(self, size: int) -> None:
        """Count what is put in, so that a few lines cannot grow to fill the memory.

        Raises:
            _Bad: It is too much; reported once, and from there on nothing is put in.
        """
        before = self.spent
        self.spent += size
        if self.spent > MAX_TEXT:
            message = f"the variables add more than {MAX_TEXT:,} characters to the config"
            raise _Bad(message if before <= MAX_TEXT else "")


def _strings(tree: Any, path: Path = ()) -> Iterator[tuple[str, Path]]:
    """Every string of a tree, and its path."""
    return ((value, at) for at, value in walk(tree, path) if isinstance(value, str))


def _parts(text: str) -> list[str | _Reference]:
    """A string as plain text and references; no part of it is empty."""
    parts: list[str | _Reference] = []
    at = 0
    while (start := text.find("${", at)) >= 0:
        if start > at and text[start - 1] == "$":
            parts += [text[at : start - 1], "${"]
            at = start + 2
            continue
        end = text.find("}", start)
        parts += [text[at:start], _Reference(text[start + 2 : end] if end >= 0 else None)]
        at = end + 1 if end >= 0 else len(text)
    parts.append(text[at:])
    return [part for part in parts if part != ""]


def names_in(text: str) -> list[str]:
    """What stands in the references of a string, each once."""
    inside = [part.inside for part in _parts(text) if isinstance(part, _Reference)]
    return [name for name in dict.fromkeys(inside) if name is not None]


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else "a plain value"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _remove(tree: dict[str, Any], key: str) -> None:
    tree.pop(key, None)
    if isinstance(tree, Table):
        tree.key_marks.pop(key, None)
        tree.value_marks.pop(key, None)
