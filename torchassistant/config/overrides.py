"""The option ``--set PATH=VALUE``: one value of a config changed from the command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple

from torchassistant.config.blocks import LIKE
from torchassistant.config.inheritance import inherited
from torchassistant.config.reader import read_text
from torchassistant.config.text import MAX_DEPTH
from torchassistant.config.tree import (
    UNREADABLE,
    Mark,
    Past,
    Path,
    Row,
    Table,
    mark_at,
    path_text,
    remember,
    value_at,
    walk,
)
from torchassistant.errors import ConfigError, listing, near

Note = Callable[[str, Path], None]
ReadPart = Callable[[str], Any]

_STEP = re.compile(
    r"""
    (?P<dot>\.)? (?P<key>[^.\[\]=]+)
    | \[ (?P<index>[0-9]{1,9}) \]
    | \[ (?P<quoted>"(?:[^"\\]|\\.)*") \]
    """,
    re.VERBOSE | re.DOTALL,
)
_HOW = 'keys are joined by dots; an item of a list is written [0], a key with dots ["a.b"]'
_IN_YAML = "value.yaml"
_SPEC = "spec"
_DEFINITIONS = ("initialize", "definitions")
_PIPELINES = ("initialize", "pipelines")


def apply_overrides(
    tree: Any,
    overrides: Sequence[str],
    note: Note,
    top: Collection[str],
    read_part: ReadPart,
) -> None:
    """Change a config by overrides ``PATH=VALUE``, one after the other, in place.

    A path begins with a key of ``top``, or with the name of a definition or pipeline:
    ``train.stages[0].stop_condition.kwargs.num_epochs``, ``optimizer.kwargs.lr``. Where several
    groups define the name, the group stands in front: ``optimizers.adam.kwargs.lr``. The value is
    JSON; else, if it begins with a bracket or a brace, YAML; else a string. Where the path begins
    with a definition, ``@FILE`` is what a file holds, and ``@@`` a plain ``@``. An override that
    has a problem changes nothing.

    Args:
        tree: As the reader gives it.
        overrides: What stood after each ``--set``.
        note: Is called with a sentence and the empty path for every problem.
        top: The keys that may stand at the root of a config.
        read_part: Reads the file of an ``@FILE``, reports what is wrong with it, and gives what it
            holds; None where it is past reading.
    """
    for override in overrides:
        try:
            _apply_one(tree, override, top, read_part)
        except _Refused as refused:
            shown = override.encode("utf-8", "replace").decode("utf-8")
            if str(refused):
                note(f"--set {shown}: {refused}", ())


def path_at(tree: Any, text: str, top: Collection[str]) -> Path:
    """The path from the root that a path means which is written as in an override.

    Args:
        tree: As the reader gives it.
        text: As ``optimizer.kwargs.lr``.
        top: The keys that may stand at the root of a config.

    Raises:
        ConfigError: It is no path, or begins with nothing that is known.
    """
    try:
        steps, rest = _split(f"{text}=")
        if rest:
            raise _Refused("a path is expected here, without a value")
        return _path(tree, steps, top)[0]
    except _Refused as refused:
        raise ConfigError(f"{text}: {refused}") from None


class _Refused(Exception):
    """An override cannot be applied. The message is empty where the cause is reported elsewhere."""


class _Definition(NamedTuple):
    """A definition; ``path`` is that of its spec."""

    group: str | None
    name: str
    path: Path


def _apply_one(tree: Any, override: str, top: Collection[str], read_part: ReadPart) -> None:
    """Apply one override.

    Raises:
        _Refused: It has a problem, and the tree is as it was.
    """
    steps, text = _split(override)
    path, is_of_definition = _path(tree, steps, top)
    value = _value(text)
    if is_of_definition and isinstance(value, str) and value.startswith("@"):
        value = value[1:] if value.startswith("@@") else _part(value[1:], read_part)
    if max(len(below) for below, _ in walk(value, path)) > MAX_DEPTH:
        raise _Refused(f"this nests deeper than {MAX_DEPTH} levels")
    mark = Mark(f"--set {override}", 0, 0)
    _take_over_lists(tree, path, mark)
    _put(tree, path, value, mark)


# What the user wrote


def _split(override: str) -> tuple[Path, str]:
    """The steps of the path, and the text of the value.

    Raises:
        _Refused: It is no ``PATH=VALUE``.
    """
    try:
        override.encode("utf-8")
    except UnicodeEncodeError:
        raise _Refused("this is not UTF-8 text") from None
    steps: list[str | int] = []
    at = 0
    while not override.startswith("=", at):
        if at == len(override):
            raise _Refused("an override is written PATH=VALUE")
        found = _STEP.match(override, at)
        if not found or (found["key"] and bool(found["dot"]) != bool(steps)):
            raise _Refused(f'the path cannot be read from "{override[at : at + 20]}" on; {_HOW}')
        steps.append(_step(found))
        at = found.end()
    if not steps or isinstance(steps[0], int):
        raise _Refused(f"the path begins with a key or a name; {_HOW}")
    if len(steps) > MAX_DEPTH:
        raise _Refused(f"this nests deeper than {MAX_DEPTH} levels")
    return tuple(steps), override[at + 1 :]


def _step(found: re.Match[str]) -> str | int:
    if found["index"]:
        return int(found["index"])
    if not found["quoted"]:
        return found["key"]
    try:
        return str(read_text(found["quoted"]))
    except ConfigError as error:
        raise _Refused(f"{found['quoted']}: {error.problems[0].message}") from None


def _value(text: str) -> Any:
    """The value: JSON, or a list or an object of YAML, or else the text itself.

    Raises:
        _Refused: It begins as a list or an object, and is none.
    """
    try:
        return _without_marks(read_text(text))
    except ConfigError:
        if not text.startswith(("[", "{")):
            return text
    try:
        return _without_marks(read_text(text, _IN_YAML))
    except ConfigError as error:
        problem = error.problems[0]
        raise _Refused(
            f"the value is neither JSON nor YAML: {problem.message} (at its character "
            f"{problem.place.column}); a text that begins so stands in quotes"
        ) from None


def _part(file: str, read_part: ReadPart) -> Any:
    """What a file holds.

    Raises:
        _Refused: It cannot be read, or is past reading.
    """
    if not file:
        raise _Refused('behind "@" stands the name of a file; a text begins with "@@"')
    try:
        value = read_part(file)
    except ConfigError as error:
        (problem,) = error.problems
        raise _Refused(f'{problem.message} ({file}); a text begins with "@@"') from None
    if value is None:
        raise _Refused
    return value


def _without_marks(value: Any) -> Any:
    """Positions inside the text of an override help nobody: the whole override is the place."""
    if isinstance(value, dict):
        return Table({key: _without_marks(item) for key, item in value.items()})
    return Row(map(_without_marks, value)) if isinstance(value, list) else value


# Where it goes


def _path(tree: Any, steps: Path, top: Collection[str]) -> tuple[Path, bool]:
    """The path from the root, and whether it begins with a definition.

    Raises:
        _Refused: It begins with nothing that is known, or with the name of several things.
    """
    if steps[0] in top:
        return steps, False
    spelled = _spelled(steps)
    definitions = list(_definitions(tree))
    definition = _one_of(definitions, spelled)
    if definition:
        path, length = definition
        if steps[length:] == (LIKE,) and path[-1] == _SPEC:
            return (*path[:-1], LIKE), False
        return (*path, *steps[length:]), True
    pipelines = _at(tree, _PIPELINES)
    names = [name for name in pipelines if name in spelled] if isinstance(pipelines, Table) else []
    if names:
        name = max(names, key=lambda name: spelled[name])
        return (*_PIPELINES, name, *steps[spelled[name] :]), False
    raise _Refused(_unknown(steps, definitions, pipelines, top))


def _spelled(steps: Path) -> dict[str, int]:
    """Every name that the beginning of a path may be, and of how many steps. Names have dots."""
    spelled: dict[str, int] = {}
    text = ""
    for length, step in enumerate(steps, 1):
        if isinstance(step, int):
            break
        text = f"{text}.{step}" if length > 1 else step
        spelled[text] = length
    return spelled


def _at(tree: Any, keys: Sequence[str]) -> Any:
    """What is at a path of keys; None where there is nothing."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, Table) else None
    return tree


def _definitions(tree: Any) -> Iterator[_Definition]:
    """Every definition that has a name: of the one list, of all lists, or by group and name."""
    found = _at(tree, _DEFINITIONS)
    lists: dict[Path, Any] = {_DEFINITIONS: found}
    if isinstance(found, Table):
        lists = {(*_DEFINITIONS, key): found[key] for key in found}
    for path, rows in lists.items():
        for name in rows if isinstance(rows, Table) and rows is not found else ():
            yield _Definition(str(path[-1]), name, (*path, name))
        for index, item in enumerate(rows if isinstance(rows, Row) else []):
            if isinstance(item, Table) and isinstance(item.get("name"), str):
                group = item.get("group")
                known = group if isinstance(group, str) else None
                yield _Definition(known, item["name"], (*path, index, _SPEC))


def _one_of(definitions: Sequence[_Definition], spelled: dict[str, int]) -> tuple[Path, int] | None:
    """The definition that a path begins with, and how many steps name it; the longest name wins.

    Raises:
        _Refused: There are several.
    """
    fits: dict[tuple[int, bool], list[_Definition]] = {}
    for definition in definitions:
        if definition.name in spelled:
            fits.setdefault((spelled[definition.name], True), []).append(definition)
        full = f"{definition.group}.{definition.name}"
        if definition.group is not None and full in spelled:
            fits.setdefault((spelled[full], False), []).append(definition)
    if not fits:
        return None
    best = max(fits)
    if len(fits[best]) > 1:
        raise _Refused(_several(fits[best]))
    return fits[best][0].path, best[0]


def _several(definitions: Sequence[_Definition]) -> str:
    name = definitions[0].name
    groups = sorted({d.group for d in definitions if d.group is not None})
    if len(groups) < 2:
        return f'{len(definitions)} definitions are named "{name}"'
    return (
        f'"{name}" is defined in the groups {listing(groups)}; '
        f'put the group in front, as "{groups[0]}.{name}"'
    )


def _unknown(
    steps: Path, definitions: Sequence[_Definition], pipelines: Any, top: Collection[str]
) -> str:
    first = str(steps[0])
    in_group = [d.name for d in definitions if d.group == first]
    if in_group and len(steps) > 1:
        name = str(steps[1])
        return f'the group "{first}" has no definition "{name}"{near(name, in_group)}'
    names = [d.name for d in definitions]
    known = {*top, *names, *(pipelines if isinstance(pipelines, Table) else ())}
    return f'no definition or pipeline is named "{first}"{near(first, known)}'


def _take_over_lists(tree: Any, path: Path, mark: Mark) -> None:
    """Put a list that is to be changed, and is that of another (``like``), where it is changed."""
    for at, step in enumerate(path):
        if isinstance(step, int) and not _is_there(tree, path[:at]):
            found = inherited(tree, path[:at])
            if isinstance(found, Row):
                _put(tree, path[:at], found, mark)


def _is_there(tree: Any, path: Path) -> bool:
    try:
        value_at(tree, path)
    except (KeyError, IndexError, TypeError):
        return False
    return True


def _put(tree: Any, path: Path, value: Any, mark: Mark) -> None:
    """Set the value at a path; missing objects on the way are made.

    Raises:
        _Refused: The path leads nowhere, and the tree is as it was.
    """
    node, at = tree, 0
    while _exists(node, path, at) and at < len(path) - 1:
        node, at = node[path[at]], at + 1
    for inner in range(len(path) - 1, at, -1):
        value = _around(value, path, inner, mark)
    step = path[at]
    if at == len(path) - 1 and _exists(node, path, at):
        remember(node, step, Past(node[step], mark_at(node, step)))
    if isinstance(node, Table) and isinstance(step, str):
        node[step] = value
        node.key_marks[step] = node.value_marks[step] = mark
    elif step == len(node):
        node.put(value, mark)
    else:
        node[step], node.marks[step] = value, mark


def _exists(node: Any, path: Path, at: int) -> bool:
    """Whether a node has something at a step of a path.

    Raises:
        _Refused: It has not, and nothing can be put there.
    """
    step = path[at]
    where = path_text(path[:at]) or "the config"
    if isinstance(node, Table):
        if isinstance(step, int):
            raise _Refused(f"{where} is an object, and has no item [{step}]")
        return step in node
    if node is UNREADABLE:
        raise _Refused
    if not isinstance(node, Row):
        raise _Refused(f"{where} is a plain value, which has nothing inside it")
    if isinstance(step, str):
        raise _Refused(f'{where} is a list, and has no key "{step}"; an item is written [0]')
    if step > len(node) or (step == len(node) and at < len(path) - 1):
        raise _Refused(f"{where} has no item [{step}]; it has {len(node)}, counted from 0")
    return step < len(node)


def _around(value: Any, path: Path, at: int, mark: Mark) -> Table:
    """A new object that holds the value at the key ``path[at]``.

    Raises:
        _Refused: It would have to be a list.
    """
    step = path[at]
    if isinstance(step, int):
        raise _Refused(f"{path_text(path[:at])} is missing, and so has no item [{step}]")
    table = Table({step: value})
    table.key_marks[step] = table.value_marks[step] = mark
    return table
