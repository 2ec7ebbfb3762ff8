"""The config as data that remembers where each key and value stood in the user's file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from torchassistant.errors import Place

Path = tuple[str | int, ...]


class _Unreadable:
    """Stands in a tree for a value that the reader could not make out, and has reported."""

    def __repr__(self) -> str:
        return "UNREADABLE"

    def __deepcopy__(self, memo: object) -> _Unreadable:
        return self


UNREADABLE = _Unreadable()


def items_of(value: Any) -> Iterable[tuple[str | int, Any]]:
    """What an object or a list holds, by key or index; nothing in anything else."""
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, list) else ()


def walk(
    value: Any,
    path: Path = (),
    inside: Callable[[Any], Iterable[tuple[str | int, Any]]] = items_of,
) -> Iterator[tuple[Path, Any]]:
    """A value, and all that is in it, each with its path; what holds something comes before it.

    Args:
        value: The root.
        path: Its path.
        inside: Gives what a value holds, by key or index, after the value itself was seen.
    """
    yield path, value
    open_ = [(path, iter(inside(value)))]
    while open_:
        above, items = open_[-1]
        for step, item in items:
            yield (*above, step), item
            if children := inside(item):
                open_.append(((*above, step), iter(children)))
                break
        else:
            open_.pop()


def set_aside(tree: Any, path: Path) -> None:
    """Put ``UNREADABLE`` for the value at a path, as what is wrong with it is reported."""
    value_at(tree, path[:-1])[path[-1]] = UNREADABLE


def value_at(tree: Any, path: Sequence[str | int]) -> Any:
    """What stands at a path.

    Raises:
        KeyError, IndexError, TypeError: Nothing does.
    """
    for step in path:
        tree = tree[step]
    return tree


class Mark(NamedTuple):
    """A position in a file: line and column count from 1."""

    file: str
    line: int
    column: int


class Past(NamedTuple):
    """What stood at a place before something else was put there.

    Args:
        value: The value.
        mark: Where that stands.
        variables: Where it is a text that named variables: those, by name.
    """

    value: Any
    mark: Mark | None
    variables: Table | None = None


class Table(dict[str, Any]):
    """A JSON object. ``key_marks`` and ``value_marks`` hold positions, where they are known.

    ``past`` holds what its values replaced, the newest last.
    """

    def __init__(self, items: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()) -> None:
        super().__init__(items)
        self.mark: Mark | None = None
        self.key_marks: dict[str, Mark] = {}
        self.value_marks: dict[str, Mark] = {}
        self.past: dict[str, tuple[Past, ...]] = {}

    def take(self, source: Mapping[str, Any], key: str, as_key: str | None = None) -> None:
        """Set a key from another table, with its positions."""
        name = as_key or key
        self[name] = source[key]
        if isinstance(source, Table):
            for mine, theirs in (
                (self.key_marks, source.key_marks),
                (self.value_marks, source.value_marks),
            ):
                if key in theirs:
                    mine[name] = theirs[key]
            if key in source.past:
                self.past[name] = source.past[key]


class Row(list[Any]):
    """A JSON array. ``marks`` holds the positions of its values, where they are known.

    ``past`` holds what its values replaced, the newest last.
    """

    def __init__(self, items: Iterable[Any] = ()) -> None:
        super().__init__(items)
        self.mark: Mark | None = None
        self.marks: list[Mark | None] = [None] * len(self)
        self.past: dict[int, tuple[Past, ...]] = {}

    def put(self, value: Any, mark: Mark | None) -> None:
        """Append a value with its position."""
        self.append(value)
        self.marks.append(mark)

    def take_all(self, source: Sequence[Any]) -> None:
        """Append every value of another row, with its position."""
        marks = source.marks if isinstance(source, Row) else [None] * len(source)
        before = len(self)
        for value, mark in zip(source, marks, strict=True):
            self.put(value, mark)
        for index, past in source.past.items() if isinstance(source, Row) else ():
            self.past[before + index] = past


def as_tree(value: Any) -> Any:
    """A deep copy of plain data as tables and rows; positions are kept where there are some."""
    if isinstance(value, Mapping):
        table = Table()
        for key in value:
            table.take(value, key)
            table[key] = as_tree(value[key])
        table.mark = getattr(value, "mark", None)
        return table
    if isinstance(value, (list, tuple)):
        row = Row()
        row.take_all(value)
        row[:] = [as_tree(item) for item in value]
        row.mark = getattr(value, "mark", None)
        return row
    return value


def mark_at(holder: Any, step: str | int) -> Mark | None:
    """The position of a value of a table or row."""
    if isinstance(holder, Table) and isinstance(step, str):
        return holder.value_marks.get(step)
    return holder.marks[step] if isinstance(holder, Row) and isinstance(step, int) else None


def marks_in(value: Any) -> Iterator[Mark]:
    """The positions of all that a value holds, and of what that holds."""
    for _, item in walk(value):
        if isinstance(item, (Table, Row)):
            marks = item.value_marks.values() if isinstance(item, Table) else item.marks
            yield from filter(None, marks)


def remember(holder: Any, step: Any, *past: Past) -> None:
    """Keep what the value at a step of a table or row replaced."""
    if isinstance(holder, (Table, Row)):
        pasts: dict[Any, tuple[Past, ...]] = holder.past
        pasts[step] = (*pasts.get(step, ()), *past)


def like(source: Table) -> Table:
    """An empty table that stands where ``source`` stood."""
    table = Table()
    table.mark = source.mark
    return table


MOST_SHOWN = 1000
"""Characters of a message; names in it are the user's, and may be as long as a file."""


def printable(text: str) -> str:
    """A text as it can be shown in one line: not too long, and without control characters."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[: MOST_SHOWN + 1])
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def place_of(tree: Any, path: Sequence[str | int], file: str = "", at_key: bool = False) -> Place:
    """The place of the value at ``path``, or of the nearest thing above it that has a position.

    Args:
        tree: The root of the config.
        path: Keys and indices from the root.
        file: The file to name where no position is known.
        at_key: Point at the last key of the path instead of at its value.
    """
    mark: Mark | None = getattr(tree, "mark", None)
    node = tree
    for depth, step in enumerate(path):
        last = depth == len(path) - 1
        found: Mark | None = None
        if isinstance(node, Table) and isinstance(step, str):
            marks = node.key_marks if at_key and last else node.value_marks
            found = marks.get(step)
        elif isinstance(node, Row) and isinstance(step, int) and step < len(node):
            found = node.marks[step]
        mark = found or mark
        try:
            node = node[step]
        except (KeyError, IndexError, TypeError):
            break
    shown = printable(path_text(path))
    if mark is None:
        return Place(file=file, path=shown)
    return Place(mark.file, mark.line, mark.column, shown)


def path_text(path: Sequence[str | int]) -> str:
    """A path as text: ``initialize.definitions[3].spec``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text
