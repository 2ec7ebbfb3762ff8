"""JSON text with comments → a tree that knows the position of every key and value."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from json.decoder import JSONDecodeError
from json.decoder import scanstring as scan_string  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any

from torchassistant.config.tree import Mark, Row, Table
from torchassistant.errors import ConfigError, Place, Problem

MAX_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 100

_BLANK = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORDS = {"true": True, "false": False, "null": None}


def read_file(path: str | Path) -> Any:
    """Read a config file.

    Raises:
        ConfigError: The file cannot be read, is too large, or is not JSON with comments.
    """
    file = str(path)
    try:
        size = Path(path).stat().st_size
        if size > MAX_BYTES:
            raise ConfigError(
                Problem(f"the file has {size:,} bytes; {MAX_BYTES:,} are allowed", Place(file))
            )
        data = Path(path).read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(Problem(f"cannot read the file: {reason}", Place(file))) from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", errors="replace")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        place = Place(file, line, column)
        raise ConfigError(Problem("this byte is not UTF-8 text", place)) from None
    return read_text(text, file)


def read_text(text: str, file: str = "") -> Any:
    """Read a config from text.

    Args:
        text: JSON, in which ``//`` and ``/* */`` comments may stand between tokens.
        file: The name under which problems are reported.

    Raises:
        ConfigError: The text is not such JSON; every problem has line and column.
    """
    return _Reader(text, file).read()


class _Stop(Exception):
    """Reading cannot go on; the problem is already noted."""


class _Reader:
    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.problems: list[Problem] = []
        self.starts = [0, *(found.end() for found in re.finditer("\n", text))]

    def read(self) -> Any:
        try:
            start = self.blank(0)
            value, end = self.value(start, 0)
            end = self.blank(end)
            if end < len(self.text):
                self.note("nothing may follow the end of the config", end)
        except _Stop:
            pass
        if self.problems:
            raise ConfigError(*self.problems)
        return value

    def mark(self, at: int) -> Mark:
        line = bisect_right(self.starts, at)
        return Mark(self.file, line, at - self.starts[line - 1] + 1)

    def note(self, message: str, at: int) -> None:
        self.problems.append(Problem(message, Place(*self.mark(at))))

    def fail(self, message: str, at: int) -> _Stop:
        self.note(message, at)
        return _Stop()

    def blank(self, at: int) -> int:
        """The offset of the next token: blanks and comments are passed over."""
        text = self.text
        while True:
            found = _BLANK.match(text, at)
            at = found.end() if found else at
            if text.startswith("//", at):
                end = text.find("\n", at)
                at = len(text) if end < 0 else end
            elif text.startswith("/*", at):
                end = text.find("*/", at + 2)
                if end < 0:
                    raise self.fail("this comment has no end", at)
                at = end + 2
            else:
                return at

    def value(self, at: int, depth: int) -> tuple[Any, int]:
        character = self.text[at : at + 1]
        if depth > MAX_DEPTH:
            raise self.fail(f"nested deeper than {MAX_DEPTH} levels", at)
        if character == "{":
            return self.table(at, depth)
        if character == "[":
            return self.row(at, depth)
        if character == '"':
            return self.string(at)
        if not character:
            raise self.fail("a value was expected, and the file ends", at)
        word = _WORD.match(self.text, at)
        if word and word.group() in _WORDS:
            return _WORDS[word.group()], word.end()
        if word:
            raise self.fail(f'"{word.group()}" is no JSON value; strings stand in quotes', at)
        return self.number(at)

    def string(self, at: int) -> tuple[str, int]:
        try:
            text, end = scan_string(self.text, at + 1, True)
        except JSONDecodeError as error:
            message = error.msg[0].lower() + error.msg[1:].rstrip(" at")
            raise self.fail(f"in this string: {message}", min(error.pos, len(self.text))) from None
        if _SURROGATE.search(text):
            self.note("this string holds half of a surrogate pair, which is no character", at)
        return text, end

    def number(self, at: int) -> tuple[int | float, int]:
        found = _NUMBER.match(self.text, at)
        rest = self.text[found.end() : found.end() + 1] if found else ""
        if not found or rest.isalnum() or rest in (".", "+", "-", "_"):
            raise self.fail(f"a value was expected, found {self.text[at : at + 10]!r}", at)
        if found.group(1) is None and found.group(2) is None:
            if found.end() - at > 4000:
                raise self.fail("this number has too many digits", at)
            return int(found.group()), found.end()
        number = float(found.group())
        if math.isinf(number):
            self.note("this number is too large", at)
        return number, found.end()

    def table(self, at: int, depth: int) -> tuple[Table, int]:
        table = Table()
        table.mark = self.mark(at)
        at = self.blank(at + 1)
        if self.text.startswith("}", at):
            return table, at + 1
        while True:
            if not self.text.startswith('"', at):
                raise self.fail("a key in quotes was expected", at)
            key_at = at
            key, at = self.string(at)
            at = self.blank(at)
            if not self.text.startswith(":", at):
                raise self.fail(f'a colon was expected after the key "{key}"', at)
            at = self.blank(at + 1)
            value_at = at
            value, at = self.value(at, depth + 1)
            if key in table:
                first = table.key_marks[key].line
                self.note(
                    f'the key "{key}" stands twice in one object (first in line {first})', key_at
                )
            table[key] = value
            table.key_marks[key] = self.mark(key_at)
            table.value_marks[key] = self.mark(value_at)
            at = self.blank(at)
            if self.text.startswith("}", at):
                return table, at + 1
            if not self.text.startswith(",", at):
                raise self.fail("a comma or a closing brace was expected", at)
            at = self.blank(at + 1)
            if self.text.startswith("}", at):
                raise self.fail("no comma may stand before the closing brace", at)

    def row(self, at: int, depth: int) -> tuple[Row, int]:
        row = Row()
        row.mark = self.mark(at)
        at = self.blank(at + 1)
        if self.text.startswith("]", at):
            return row, at + 1
        while True:
            mark = self.mark(at)
            value, at = self.value(at, depth + 1)
            row.put(value, mark)
            at = self.blank(at)
            if self.text.startswith("]", at):
                return row, at + 1
            if not self.text.startswith(",", at):
                raise self.fail("a comma or a closing bracket was expected", at)
            at = self.blank(at + 1)
            if self.text.startswith("]", at):
                raise self.fail("no comma may stand before the closing bracket", at)
