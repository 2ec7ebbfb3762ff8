"""JSON text with comments → a tree that knows the position of every key and value."""

from __future__ import annotations

import math
import os
import re
from bisect import bisect_right
from json.decoder import JSONDecodeError
from json.decoder import scanstring as scan_string  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any, NamedTuple

from torchassistant.config.tree import UNREADABLE, Mark, Row, Table, printable
from torchassistant.errors import ConfigError, Place, Problem, nearest

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 100
MAX_DIGITS = 400
MOST_PROBLEMS = 10_000
_SHOWN = 40  # characters of what the user wrote that a sentence repeats

_BLANK = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORD = re.compile(r"[^\s,:\[\]{}\"/]+")
_LOOSE_STRING = re.compile(r"\"(?:[^\"\\\n]|\\.)*\"")
_SINGLE_QUOTED = re.compile(r"'[^'\"\n]*'")
_BARE_KEY = re.compile(r"[A-Za-z_$][\w$-]*(?=[ \t]*:)")
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORDS = {"true": True, "false": False, "null": None}
_PYTHON_WORDS = {"True": "true", "False": "false", "None": "null"}


class Text(NamedTuple):
    """What was read from a text.

    Args:
        tree: The config; values that cannot be read are ``UNREADABLE`` in it. None where reading
            had to end early.
        problems: What is wrong with the text, in file order.
        file: The file that it stands in.
    """

    tree: Any
    problems: list[Problem]
    file: str = ""


def read_file(path: str | Path) -> Text:
    """Read a config file.

    Raises:
        ConfigError: The file cannot be read, is too large, or is no UTF-8 text.
    """
    file = str(path)
    try:
        with open(path, "rb", opener=_without_waiting) as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if isinstance(error, FileNotFoundError):
            reason += _namesake(Path(path))
        raise ConfigError(Problem(f"cannot read the file: {reason}", Place(file))) from None
    if len(data) > MAX_BYTES:
        raise ConfigError(Problem(f"the file has more than {MAX_BYTES:,} bytes", Place(file)))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", errors="replace")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        place = Place(file, line, column)
        raise ConfigError(Problem("this byte is not UTF-8 text", place)) from None
    return scan(text, file)


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a FIFO that nobody writes to is empty, and one from a shell is read."""
    handle = os.open(path, flags | os.O_NONBLOCK)
    os.set_blocking(handle, True)
    return handle


def _namesake(path: Path) -> str:
    """A clause that names a file beside, where one is named alike."""
    try:
        beside = {Path(name).stem: name for name in os.listdir(path.parent)}
    except OSError:
        return ""
    meant = nearest(path.stem, beside)
    return f'; did you mean "{path.parent / beside[meant]}"?' if meant else ""


def scan(text: str, file: str = "") -> Text:
    """Read a config from text, past what can be passed over.

    Args:
        text: JSON, in which ``//`` and ``/* */`` comments may stand between tokens.
        file: The name under which problems are reported.
    """
    return _Reader(text, file).read()


def read_text(text: str, file: str = "") -> Any:
    """Read a config from text that has to be right.

    Args:
        text: JSON, in which ``//`` and ``/* */`` comments may stand between tokens.
        file: The name under which problems are reported.

    Raises:
        ConfigError: The text is not such JSON; every problem has line and column.
    """
    found = scan(text, file)
    if found.problems:
        raise ConfigError(*found.problems)
    return found.tree


class _Stop(Exception):
    """Reading cannot go on; the problem is already noted."""


class _Reader:
    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.problems: list[Problem] = []
        self.unended = 0
        """Where the last string ended that had no quote at its end."""
        self.starts = [0, *(found.end() for found in re.finditer("\n", text))]

    def read(self) -> Text:
        value: Any = None
        try:
            start = self.blank(0)
            value, end = self.value(start, 0)
            end = self.blank(end)
            if end < len(self.text):
                self.note("nothing may follow the end of the config", end)
        except _Stop:
            value = None
        return Text(value, self.problems, self.file)

    def mark(self, at: int) -> Mark:
        line = bisect_right(self.starts, at)
        return Mark(self.file, line, at - self.starts[line - 1] + 1)

    def note(self, message: str, at: int) -> None:
        self.problems.append(Problem(printable(message), Place(*self.mark(at))))
        if len(self.problems) >= MOST_PROBLEMS:
            raise _Stop

    def fail(self, message: str, at: int) -> _Stop:
        self.note(message, at)
        return _Stop()

    def blank(self, at: int) -> int:
        """The offset of the next token: blanks and comments are passed over."""
        text = self.text
        while True:
            found = _BLANK.match(text, at)
            at = found.end() if found else at
            if text.startswith("#", at):
                self.note('a comment begins with "//"', at)
            if text.startswith(("//", "#"), at):
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
        quoted = _SINGLE_QUOTED.match(self.text, at)
        if quoted:
            self.note("a string is written in double quotes", at)
            return UNREADABLE, quoted.end()
        found = _WORD.match(self.text, at)
        if not found:
            raise self.fail(f"a value was expected, found {character!r}", at)
        return self.word(found.group(), at), found.end()

    def word(self, word: str, at: int) -> Any:
        """What a run of characters outside of quotes means."""
        if word in _WORDS:
            return _WORDS[word]
        if word[0] in "+-.0123456789":
            return self.number(word, at)
        hint = _PYTHON_WORDS.get(word)
        self.note(
            f'"{word[:_SHOWN]}" is not a JSON value; '
            + (f"JSON writes {hint}" if hint else "strings stand in quotes"),
            at,
        )
        return UNREADABLE

    def string(self, at: int) -> tuple[Any, int]:
        """A string, or ``UNREADABLE`` where it can be seen where it ends."""
        try:
            text, end = scan_string(self.text, at + 1, True)
        except JSONDecodeError as error:
            message = error.msg[0].lower() + error.msg[1:].rstrip(" at")
            self.note(f"in this string: {message}", min(error.pos, len(self.text)))
            return UNREADABLE, self.end_of_string(at)
        if _SURROGATE.search(text):
            self.note("this string holds half of a surrogate pair, which is not a character", at)
            return UNREADABLE, end
        return text, end

    def end_of_string(self, at: int) -> int:
        """Where a string ends in which something is wrong: at its quote, or with its line.

        Raises:
            _Stop: It may go on in the next line.
        """
        found = _LOOSE_STRING.match(self.text, at)
        if found:
            return found.end()
        end = self.text.find("\n", at)
        following = self.text.find("\n", end + 1)
        if end < 0 or self.text.count('"', end, following if following > 0 else None) % 2:
            raise _Stop
        self.unended = end
        return end

    def key(self, at: int) -> tuple[str, int]:
        """A key, repaired where it can be seen what is meant."""
        if self.text.startswith('"', at):
            key, end = self.string(at)
            return (
                (_SURROGATE.sub("", _loosely(self.text[at:end])), end)
                if key is UNREADABLE
                else (key, end)
            )
        found = _BARE_KEY.match(self.text, at) or _SINGLE_QUOTED.match(self.text, at)
        if not found:
            raise self.fail("a key in quotes was expected", at)
        self.note("a key in double quotes was expected", at)
        return found.group().strip("'"), found.end()

    def colon(self, key: str, at: int) -> int:
        """Where the value of a key stands; a colon that is missing before it is reported."""
        at = self.blank(at)
        if self.text.startswith(":", at):
            return self.blank(at + 1)
        message = f'a colon was expected after the key "{key}"'
        if self.text.startswith("=", at):
            self.note(message, at)
            return self.blank(at + 1)
        if not self.text.startswith(tuple('"{[-0123456789tfn'), at):
            raise self.fail(message, at)
        self.note(message, at)
        return at

    def number(self, word: str, at: int) -> Any:
        found = _NUMBER.fullmatch(word)
        if not found:
            self.note(f"{word[:_SHOWN]!r} is not a valid JSON number", at)
            return UNREADABLE
        if found.group(1) is None and found.group(2) is None:
            if len(word) <= MAX_DIGITS:
                return int(word)
            self.note("this number has too many digits", at)
            return UNREADABLE
        number = float(word)
        if math.isinf(number):
            self.note("this number is too large", at)
            return UNREADABLE
        return number

    def table(self, at: int, depth: int) -> tuple[Table, int]:
        table = Table()
        table.mark = self.mark(at)
        at = self.commas(self.blank(at + 1))
        if self.text.startswith("}", at):
            return table, at + 1
        while True:
            key_at = at
            key, at = self.key(at)
            value_at = self.colon(key, at)
            value, at = self.value_of(key, value_at, depth)
            if key in table:
                first = table.key_marks[key].line
                self.note(
                    f'the key "{key}" is given twice in one object (first in line {first})', key_at
                )
                value = _joined(table[key], value)
            table[key] = value
            table.key_marks[key] = self.mark(key_at)
            table.value_marks[key] = self.mark(value_at)
            at = self.blank(at)
            if self.text.startswith("}", at):
                return table, at + 1
            is_next = self.text.startswith(('"', "'"), at) or _BARE_KEY.match(self.text, at)
            at = self.after_comma(at, bool(is_next), "a comma or a closing brace was expected")
            if self.text.startswith("}", at):
                self.note("a comma is not allowed before the closing brace", at)
                return table, at + 1

    def value_of(self, key: str, at: int, depth: int) -> tuple[Any, int]:
        """The value of a key; ``UNREADABLE`` where there is none."""
        if not self.text.startswith((",", "}"), at):
            return self.value(at, depth + 1)
        self.note(f'the key "{key}" has no value', at)
        return UNREADABLE, at

    def after_comma(self, at: int, is_next: bool, message: str) -> int:
        """Where the next item stands; a missing comma before it is reported, and no more."""
        if self.text.startswith(",", at):
            return self.commas(self.blank(at + 1))
        if not is_next:
            raise self.fail(message, at)
        if not (self.unended and not self.text[self.unended : at].strip()):
            self.note(message, at)
        return at

    def commas(self, at: int) -> int:
        """Past commas before which an item is missing."""
        while self.text.startswith(",", at):
            self.note("something was expected before this comma", at)
            at = self.blank(at + 1)
        return at

    def row(self, at: int, depth: int) -> tuple[Row, int]:
        row = Row()
        row.mark = self.mark(at)
        at = self.commas(self.blank(at + 1))
        if self.text.startswith("]", at):
            return row, at + 1
        while True:
            mark = self.mark(at)
            value, at = self.value(at, depth + 1)
            row.put(value, mark)
            at = self.blank(at)
            if self.text.startswith("]", at):
                return row, at + 1
            is_next = self.text.startswith(('"', "{", "["), at) or _WORD.match(self.text, at)
            at = self.after_comma(at, bool(is_next), "a comma or a closing bracket was expected")
            if self.text.startswith("]", at):
                self.note("a comma is not allowed before the closing bracket", at)
                return row, at + 1


def _loosely(text: str) -> str:
    """What stands between the quotes of a string in which something is wrong."""
    return re.sub(r"\\u[0-9a-fA-F]{4}|[\\\x00-\x1f]", "", text.strip('"'))


def _joined(one: Any, other: Any) -> Any:
    """What two values of one key have in common, and what only one of them has."""
    if isinstance(one, Table) and isinstance(other, Table):
        for key in one:
            value = _joined(one[key], other[key]) if key in other else one[key]
            other.take(one, key)
            other[key] = value
        return other
    return one if one == other else UNREADABLE
