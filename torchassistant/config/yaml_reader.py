"""YAML text → a tree that knows the position of every key and value; scalars are JSON's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import yaml
from yaml import MarkedYAMLError, SafeLoader, YAMLError
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)
from yaml.reader import ReaderError

from torchassistant.config.text import (
    DEEP,
    HALF_A_PAIR,
    MAX_DEPTH,
    SHOWN,
    TWICE,
    Notes,
    Stop,
    Text,
    joined,
    measure,
    number,
)
from torchassistant.config.tree import UNREADABLE, Past, Row, Table, as_tree, mark_at, remember
from torchassistant.errors import near

MAX_ALIASED = 1024 * 1024
"""Characters that aliases and merge keys put in, over the whole config."""

_SIZE_OF_A_VALUE = 8
"""What a value counts beside its characters: it needs memory too."""
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_BEGINS_A_NUMBER = frozenset("+-.0123456789")
_NUMBER = re.compile(
    r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", re.ASCII
)
"""Numbers on which all versions of YAML agree."""
_OTHER_NUMBER = re.compile(
    r"""[-+]?(?:
        0[0-9_]+ (?:\.[0-9_]*)? (?:[eE][-+]?[0-9]+)?           # octal in YAML 1.1, not in 1.2
        | 0[oO][0-7_]+ | 0[xX][0-9a-fA-F_]+ | 0[bB][01_]+
        | [0-9]+ _ [0-9_]* (?:\.[0-9_]*)? (?:[eE][-+]?[0-9]+)?  # a text in YAML 1.2
        | \.(?:inf|Inf|INF|nan|NaN|NAN)
    )""",
    re.ASCII | re.VERBOSE,
)
"""What some reader of YAML takes for a number, and JSON does not."""
_MERGE = "<<"

IN_C: Any = getattr(yaml, "CSafeLoader", None)
"""The parser in C, some twenty times as fast; None where PyYAML was built without it."""
_READ_OTHERWISE = re.compile(
    r"[^\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
    r"|^%|\?|![^\s]*!|[|>][-+0-9]*#|:(?:\s|#.*\n)*[],}]",
    re.MULTILINE,
)
"""What PyYAML's two parsers may not take for the same: tabs, ``?``, directives, tags, comments
behind ``|``, keys without a value in brackets, and some ends of lines."""

_SENTENCES = (
    (r"found character '\\t'", "a tab cannot stand here; YAML is indented by blanks"),
    (r"found character '(.)'", 'a text that begins with "{0}" stands in quotes'),
    (
        "mapping values are not allowed here",
        "this colon cannot stand here; a text that holds a colon and a blank stands in quotes, "
        "and the values of an object are in lines of their own",
    ),
    ("could not find expected ':'", "a colon and a blank were expected behind this key"),
    (
        "expected <block end>",
        "this does not belong to the {what} that begins in line {line}; is it indented as the "
        "rest of it, and are texts in quotes as a whole?",
    ),
    (
        r"expected ',' or '\]'",
        "a comma or a closing bracket was expected; the list begins in line {line}",
    ),
    (
        r"expected ',' or '}'",
        "a comma or a closing brace was expected; the object begins in line {line}",
    ),
    ("found unexpected end of stream", "this string has no closing quote"),
    (
        "found unknown escape character '(.+)'",
        r'in this string: "\{0}" means nothing in double quotes; write "\\{0}", or single quotes',
    ),
    ("sequence entries are not allowed here", "a list begins in a line of its own"),
    ("expected alphabetic or numeric character", "a name was expected behind this sign"),
)
"""What PyYAML says, and what is said of it here."""


def scan_yaml(text: str, file: str = "") -> Text:
    """Read a config from YAML.

    Plain scalars are JSON's: ``no`` is a text and ``1e-3`` a number. What every version of YAML
    agrees on is taken too (``~``, ``True``, ``.5``); what some version takes for a number and JSON
    does not (``012``, ``1_000``) is a problem. Anchors, aliases and merge keys are replaced by
    what they stand for. There are no tags.

    Args:
        text: The text.
        file: The name under which problems are reported.
    """
    if IN_C is not None and not _READ_OTHERWISE.search(text):
        try:
            return _Reader(text, file, IN_C).read()
        except (Stop, YAMLError, UnicodeError):
            pass  # told in the words of the parser in Python, which sees it too
    reader = _Reader(text, file, SafeLoader)
    try:
        return reader.read()
    except Stop:
        pass
    except YAMLError as error:
        reader.report(error)
    return Text(reader.value, reader.problems, file)


def meaning(word: str) -> Any:
    """What a text means that stands in no quotes.

    Raises:
        ValueError: It is no number of JSON, though it looks like one.
    """
    if word in _WORDS:
        return _WORDS[word]
    if word[0] not in _BEGINS_A_NUMBER:
        return word
    if _NUMBER.fullmatch(word):
        return number(word)
    if not _OTHER_NUMBER.fullmatch(word):
        return word
    shown = word[:SHOWN]
    if word.lstrip("+-").startswith("."):
        raise ValueError(f'JSON has no number {shown}; a text stands in quotes: "{shown}"')
    raise ValueError(
        f"not every reader of YAML takes {shown} for the same: "
        f'write a text as "{shown}", and a number as JSON does'
    )


class _Anchored:
    """What an anchor names.

    Args:
        value: What was read; None while it is being read.
        line: Where the anchor stands.
    """

    def __init__(self, line: int) -> None:
        self.value: Any = None
        self.is_read = False
        self.line = line
        self.size: tuple[int, int] | None = None

    def measured(self) -> tuple[int, int]:
        """About how many characters it is, and how many levels lie below it."""
        if self.size is None:
            self.size = measure(self.value, _SIZE_OF_A_VALUE)
        return self.size


class _Pair(NamedTuple):
    """A key and its value, and the offsets at which they stand."""

    key: str
    value: Any
    key_at: int
    value_at: int


class _Reader(Notes):
    """Makes a tree of the events of a parser.

    Args:
        text: The text.
        file: The name under which problems are reported.
        parser: One of PyYAML's.
    """

    def __init__(self, text: str, file: str, parser: Any) -> None:
        super().__init__(text, file)
        self.text = text
        self.parser = parser
        self.value: Any = None
        self.anchors: dict[str, _Anchored] = {}
        self.aliased = 0

    def read(self) -> Text:
        """The whole text.

        Raises:
            YAMLError: It is no YAML; ``value`` may hold the one document all the same.
            Stop: Nothing more can be read; the problem is noted.
        """
        self.events = self.parser(self.text)
        self.value = self.document()
        self.further_documents()
        return Text(self.value, self.problems, self.file)

    def document(self) -> Any:
        """The value of the one document."""
        self.next()
        if isinstance(self.next(), StreamEndEvent):
            raise self.fail("a value was expected, and the file ends", 0)
        value = self.node(self.next(), 0)
        self.next()
        return value

    def further_documents(self) -> None:
        """Report what follows the one document; what is wrong in it too."""
        while isinstance(event := self.next(), DocumentStartEvent):
            self.note("a config is one document, and here another begins", _at(event))
            self.anchors.clear()
            self.node(self.next(), 0)
            self.next()

    def next(self) -> Any:
        """The next event.

        Raises:
            YAMLError: The text is no YAML.
        """
        try:
            return self.events.get_event()
        except (ValueError, OverflowError):  # of chr()
            at = self.events.get_mark().index
            raise self.fail("in this string: an escape that is no character", at) from None

    def node(self, event: Any, depth: int) -> Any:
        """The value that begins with an event."""
        if depth > MAX_DEPTH:
            raise self.fail(DEEP, _at(event))
        if isinstance(event, AliasEvent):
            return self.alias(event, depth)
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")[:SHOWN]
            self.note(f'a config has no tags; found "{tag}"', _at(event))
        anchored = self.anchor(event) if event.anchor is not None else None
        if isinstance(event, ScalarEvent):
            value = self.scalar(event)
        elif isinstance(event, MappingStartEvent):
            value = self.table(event, depth)
        else:
            value = self.row(event, depth)
        if event.tag is not None:
            value = UNREADABLE
        if anchored is not None:
            anchored.value, anchored.is_read = value, True
        return value

    # Anchors

    def anchor(self, event: NodeEvent) -> _Anchored:
        first = self.anchors.get(event.anchor)
        if first is not None:
            name = event.anchor[:SHOWN]
            message = f'the anchor "&{name}" is given twice (first in line {first.line})'
            self.note(message, _at(event))
        anchored = self.anchors[event.anchor] = _Anchored(self.mark(_at(event)).line)
        return anchored

    def alias(self, event: AliasEvent, depth: int) -> Any:
        """A copy of what an alias stands for."""
        name, at = event.anchor[:SHOWN], _at(event)
        known = self.anchors.get(event.anchor)
        if known is None:
            hint = near(f"&{event.anchor}", [f"&{other}" for other in self.anchors])
            self.note(f'no anchor is named "&{name}"{hint}', at)
            return UNREADABLE
        if not known.is_read:
            self.note(f'"*{name}" stands within what it stands for', at)
            return UNREADABLE
        size, levels = known.measured()
        if levels and depth + levels > MAX_DEPTH:
            self.note(f'with "*{name}" put in, this is {DEEP}', at)
            return UNREADABLE
        before = self.aliased
        self.aliased += size
        if self.aliased > MAX_ALIASED:
            if before <= MAX_ALIASED:
                self.note(f"aliases add more than {MAX_ALIASED:,} characters to the config", at)
            return UNREADABLE
        copy = as_tree(known.value)
        if isinstance(copy, (Table, Row)):
            copy.mark = self.mark(at)
        return copy

    # Values

    def scalar(self, event: ScalarEvent) -> Any:
        word, at = event.value, _at(event)
        if not event.style and event.tag is None:
            return self.plain(word, at)
        if not word.isascii():
            try:
                # JSON writes some characters as two escapes.
                word = word.encode("utf-16", "surrogatepass").decode("utf-16")
            except UnicodeDecodeError:
                self.note(HALF_A_PAIR, at)
                return UNREADABLE
        return word

    def plain(self, word: str, at: int) -> Any:
        try:
            return meaning(word)
        except ValueError as error:
            self.note(str(error), at)
            return UNREADABLE

    def row(self, event: Any, depth: int) -> Row:
        row = Row()
        row.mark = self.mark(_at(event))
        while not isinstance(event := self.next(), SequenceEndEvent):
            mark = self.mark(_at(event))
            row.put(self.node(event, depth + 1), mark)
        return row

    def table(self, event: Any, depth: int) -> Table:
        table = Table()
        table.mark = self.mark(_at(event))
        merged: list[_Pair] = []
        while not isinstance(event := self.next(), MappingEndEvent):
            pair = self.pair(event, depth)
            if pair is None:
                continue
            if isinstance(event, ScalarEvent) and not event.style and pair.key == _MERGE:
                merged.append(pair)
            else:
                self.put(table, pair)
        return self.with_merged(table, merged) if merged else table

    def pair(self, event: Any, depth: int) -> _Pair | None:
        """A key and its value; None where the key is none."""
        key = self.node(event, depth + 1)
        following = self.next()
        value = self.node(following, depth + 1)
        if not isinstance(key, str):
            if isinstance(event, ScalarEvent):
                if key is not UNREADABLE:
                    message = f'a key is a text; in quotes it is one: "{event.value[:SHOWN]}"'
                    self.note(message, _at(event))
                key = event.value
            else:
                if key is not UNREADABLE:
                    self.note("a key is a text, and no object or list", _at(event))
                return None
        return _Pair(key, value, _at(event), _at(following))

    def put(self, table: Table, pair: _Pair) -> None:
        """Set a key, which must not be there."""
        key, value, key_at, value_at = pair
        if key in table:
            self.note(TWICE.format(key=key, line=table.key_marks[key].line), key_at)
            value = joined(table[key], value)
        table[key] = value
        table.key_marks[key] = self.mark(key_at)
        table.value_marks[key] = self.mark(value_at)

    def with_merged(self, table: Table, merged: Sequence[_Pair]) -> Table:
        """An object with what ``<<`` lays under it: of several, the first that has a key counts."""
        for later in merged[1:]:
            line = self.mark(merged[0].key_at).line
            message = TWICE.format(key=_MERGE, line=line) + "; several are written in a list"
            self.note(message, later.key_at)
        value = merged[0].value
        bases = value if isinstance(value, Row) else [value]
        result = Table()
        result.mark = table.mark
        for base in bases:
            if isinstance(base, Table):
                for key in base:
                    if key not in result:
                        result.take(base, key)
            elif base is not UNREADABLE:
                message = '"<<" takes an object, or a list of objects'
                self.note(message, merged[0].value_at)
                break
        for key in table:
            hidden = [Past(result[key], mark_at(result, key))] if key in result else []
            result.take(table, key)
            remember(result, key, *hidden)
        return result

    # What PyYAML finds

    def report(self, error: YAMLError) -> None:
        """Say what is no YAML."""
        if isinstance(error, ReaderError):
            self.note(f"the character U+{error.character:04X} cannot stand here", error.position)
            return
        assert isinstance(error, MarkedYAMLError), "only the parser is used"
        problem = error.problem or ""
        mark, context = error.problem_mark, error.context_mark
        line = context.line + 1 if context is not None else 0
        what = "list" if "collection" in (error.context or "") else "object"
        at = mark.index if mark is not None else 0
        for pattern, sentence in _SENTENCES:
            found = re.match(pattern, problem)
            if found is None:
                continue
            if context is not None and pattern.startswith(("could not", "found unexpected end")):
                at = context.index
            self.note(sentence.format(*found.groups(), what=what, line=line), at)
            return
        self.note(f"this is no YAML: {problem}", at)


def _at(event: Any) -> int:
    """The offset of an event."""
    return event.start_mark.index
