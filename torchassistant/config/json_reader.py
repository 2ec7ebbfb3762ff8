"""JSON text with comments → a tree that knows the position of every key and value."""

from __future__ import annotations

import re
from json.decoder import JSONDecodeError
from json.decoder import scanstring as scan_string  # type: ignore[attr-defined]
from typing import Any

from torchassistant.config.text import (
    DEEP,
    HALF_A_PAIR,
    MAX_DEPTH,
    SHOWN,
    TWICE,
    Notes,
    Stop,
    Text,
    is_number,
    joined,
    number,
)
from torchassistant.config.tree import UNREADABLE, Row, Table

_BLANK = re.compile(r"[ \t\r\n]*")
_WORD = re.compile(r"[^\s,:\[\]{}\"/]+")
_LOOSE_STRING = re.compile(r"\"(?:[^\"\\\n]|\\.)*\"")
_SINGLE_QUOTED = re.compile(r"'[^'\"\n]*'")
_BARE_KEY = re.compile(r"[A-Za-z_$][\w$-]*(?=[ \t]*:)")
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORDS = {"true": True, "false": False, "null": None}
_PYTHON_WORDS = {"True": "true", "False": "false", "None": "null"}


def scan_json(text: str, file: str = "") -> Text:
    """Read a config from text, past what can be passed over.

    Args:
        text: JSON, in which ``//`` and ``/* */`` comments may stand between tokens.
        file: The name under which problems are reported.
    """
    return _Reader(text, file).read()


class _Reader(Notes):
    def __init__(self, text: str, file: str) -> None:
        super().__init__(text, file)
        self.text = text
        self.unended = 0
        """Where the last string ended that had no quote at its end."""

    def read(self) -> Text:
        value: Any = None
        try:
            start = self.blank(0)
            value, end = self.value(start, 0)
            end = self.blank(end)
            if end < len(self.text):
                self.note("nothing may follow the end of the config", end)
        except Stop:
            value = None
        return Text(value, self.problems, self.file)

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
            raise self.fail(DEEP, at)
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
            f'"{word[:SHOWN]}" is not a JSON value; '
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
            self.note(HALF_A_PAIR, at)
            return UNREADABLE, end
        return text, end

    def end_of_string(self, at: int) -> int:
        """Where a string ends in which something is wrong: at its quote, or with its line.

        Raises:
            Stop: It may go on in the next line.
        """
        found = _LOOSE_STRING.match(self.text, at)
        if found:
            return found.end()
        end = self.text.find("\n", at)
        following = self.text.find("\n", end + 1)
        if end < 0 or self.text.count('"', end, following if following > 0 else None) % 2:
            raise Stop
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
        if not is_number(word):
            self.note(f"{word[:SHOWN]!r} is not a valid JSON number", at)
            return UNREADABLE
        try:
            return number(word)
        except ValueError as error:
            self.note(str(error), at)
            return UNREADABLE

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
                self.note(TWICE.format(key=key, line=first), key_at)
                value = joined(table[key], value)
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
