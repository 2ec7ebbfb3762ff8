"""Plants mistakes into the text of a right config, and knows where each must be reported."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from json.decoder import JSONDecoder
from typing import Any, NamedTuple

Path = tuple[str | int, ...]

_COMMENTS = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_BLANKS = re.compile(r"\s*")
_STEP = re.compile(r"@(?P<group>\w+)\.(?P<name>\w+)|\.?(?P<key>[^.\[\]@]+)|\[(?P<index>\d+)\]")


class Span(NamedTuple):
    """From the first character to behind the last."""

    start: int
    end: int


class Edit(NamedTuple):
    """A piece of the text that is replaced."""

    start: int
    end: int
    text: str


class Report(NamedTuple):
    """What must be told of a mistake.

    Args:
        at: Where: an offset in the text as it was before.
        inner: How far behind the beginning of the edit that begins at ``at``; None where ``at``
            is no place of an edit.
        word: What the message must hold.
        warns: Whether it is a warning.
    """

    at: int
    inner: int | None
    word: str
    warns: bool = False


@dataclass(frozen=True)
class Planted:
    """Edits that make one mistake, or several."""

    edits: tuple[Edit, ...] = ()
    reports: tuple[Report, ...] = ()

    def __add__(self, other: Planted) -> Planted:
        return Planted(self.edits + other.edits, self.reports + other.reports)

    def meets(self, other: Planted) -> bool:
        """Whether the two change one place, or one takes away what the other is reported at."""
        return (
            any(
                mine.start <= theirs.end and theirs.start <= mine.end
                for mine in self.edits
                for theirs in other.edits
            )
            or self._takes_away(other)
            or other._takes_away(self)
        )

    def _takes_away(self, other: Planted) -> bool:
        return any(
            edit.start <= report.at < edit.end
            for edit in self.edits
            for report in other.reports
            if report.inner is None
        )


class Source:
    """A config's text, and where every key and value of it stands."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.keys: dict[Path, Span] = {}
        self.values: dict[Path, Span] = {}
        self._plain = _COMMENTS.sub(_blank, text)
        self.data: Any = json.loads(self._plain)
        self._scan((), _BLANKS.match(self._plain, 0).end())  # type: ignore[union-attr]

    def _scan(self, path: Path, at: int) -> int:
        opening = self._plain[at]
        if opening not in "{[":
            _, end = JSONDecoder().raw_decode(self._plain, at)
        else:
            end = self._items(path, at, opening == "{")
        self.values[path] = Span(at, end)
        return end

    def _items(self, path: Path, at: int, keyed: bool) -> int:
        index = 0
        at = self._next(at + 1)
        while self._plain[at] not in "}]":
            step: str | int = index
            if keyed:
                step, end = JSONDecoder().raw_decode(self._plain, at)
                self.keys[*path, step] = Span(at, end)
                at = self._next(self._next(end) + 1)
            at = self._next(self._scan((*path, step), at))
            if self._plain[at] == ",":
                at = self._next(at + 1)
            index += 1
        return at + 1

    def _next(self, at: int) -> int:
        return _BLANKS.match(self._plain, at).end()  # type: ignore[union-attr]

    # Places

    @cached_property
    def _definitions(self) -> dict[tuple[str, str], Path]:
        definitions = self.data["initialize"]["definitions"]
        return {
            (d["group"], d["name"]): ("initialize", "definitions", index)
            for index, d in enumerate(definitions)
        }

    def path(self, text: str) -> Path:
        """``@group.name.spec.x[0]`` or ``train.stages[0]`` as a path."""
        path: list[str | int] = []
        for found in _STEP.finditer(text):
            if found["group"]:
                path += self._definitions[found["group"], found["name"]]
            else:
                path.append(found["key"] if found["key"] else int(found["index"]))
        return tuple(path)

    def get(self, path: Path) -> Any:
        """The value at a path."""
        node = self.data
        for step in path:
            node = node[step]
        return node

    def position(self, at: int) -> tuple[int, int]:
        """The line and column of an offset."""
        before = self.text[:at]
        return before.count("\n") + 1, at - before.rfind("\n")

    # Mistakes. Each names its place, what is written there, and a word of the message.

    def value(self, path: str | Path, text: str, word: str = "") -> Planted:
        """Another value; the message stands at ``§`` in it, else at its beginning."""
        span = self.values[self._as_path(path)]
        return _edit(span.start, span.end, text, word)

    def name(self, path: str | Path, new: str, word: str = "") -> Planted:
        """Another string."""
        return self.value(path, json.dumps(new), word or new)

    def key(self, path: str | Path, new: str, word: str = "") -> Planted:
        """Another key for the same value."""
        span = self.keys[self._as_path(path)]
        return _edit(span.start, span.end, json.dumps(new), word or new)

    def drop(self, path: str | Path, word: str = "") -> Planted:
        """A key or an item less; where there is a word, it is told of what held it."""
        path = self._as_path(path)
        holder = self.values[path[:-1]]
        others = [p for p in self.values if len(p) == len(path) and p[:-1] == path[:-1]]
        place = others.index(path)
        starts = [self.keys.get(p, self.values[p]).start for p in others]
        if place + 1 < len(others):
            cut = Edit(starts[place], starts[place + 1], "")
        elif place:
            cut = Edit(self.values[others[place - 1]].end, self.values[path].end, "")
        else:
            cut = Edit(starts[place], self.values[path].end, "")
        return Planted((cut,), (Report(holder.start, None, word),) if word else ())

    def put(self, path: str | Path, text: str, word: str = "", first: bool = False) -> Planted:
        """One more key or item at the end (or the beginning) of what is at a path."""
        path = self._as_path(path)
        span = self.values[path]
        inside = [p for p in self.values if len(p) == len(path) + 1 and p[:-1] == path]
        if first or not inside:
            return _edit(span.start + 1, span.start + 1, text + (",\n" if inside else ""), word)
        last = self.values[inside[-1]].end
        return _edit(last, last, ",\n" + text, word)

    def at(self, path: str | Path, word: str, key: bool = False, warns: bool = False) -> Planted:
        """No edit, but a message at a value, or a key, that is left as it is."""
        span = (self.keys if key else self.values)[self._as_path(path)]
        return Planted((), (Report(span.start, None, word, warns),))

    def _as_path(self, path: str | Path) -> Path:
        return self.path(path) if isinstance(path, str) else path


def _blank(found: re.Match[str]) -> str:
    text = found.group()
    return text if text.startswith('"') else re.sub(r"[^\n]", " ", text)


def _edit(start: int, end: int, text: str, word: str) -> Planted:
    mark = text.find("§")
    inner = mark if mark >= 0 else len(text) - len(text.lstrip(",\n"))
    reports = (Report(start, inner, word),) if word else ()
    return Planted((Edit(start, end, text.replace("§", "")),), reports)


class Expected(NamedTuple):
    """A message that must come: its place, and a word of it."""

    line: int
    column: int
    word: str
    warns: bool


def apply(source: Source, planted: Planted) -> tuple[str, list[Expected]]:
    """The text with mistakes in it, and what must be told of it."""
    text, shift = "", 0
    at = 0
    began: dict[int, int] = {}
    edits = sorted(planted.edits)
    for edit in edits:
        text += source.text[at : edit.start]
        began[edit.start] = len(text)
        text += edit.text
        at = edit.end
    text += source.text[at:]
    expected = []
    for report in planted.reports:
        if report.inner is None:
            shift = sum(len(e.text) - (e.end - e.start) for e in edits if e.end <= report.at)
            place = report.at + shift
        else:
            place = began[report.at] + report.inner
        line = text.count("\n", 0, place) + 1
        column = place - text.rfind("\n", 0, place)
        expected.append(Expected(line, column, report.word, report.warns))
    return text, expected


def together(plants: Iterable[Planted]) -> Planted:
    """Several mistakes in one config."""
    return sum(plants, Planted())
