"""Comments of a config: found in one form, and put into the text of the other."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Any, NamedTuple

from torchassistant.config import Mark, Path, Table, mark_at, scan, value_at, walk

_IN_JSON = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_IN_YAML = re.compile(r"(?:^|(?<=[ \t]))#[^\n]*", re.MULTILINE)


class Comments(NamedTuple):
    """The comments of a config, by what they are about.

    Args:
        above: Lines above a key or an item, by its path.
        behind: Lines behind one.
        at_end: Lines behind everything.
    """

    above: dict[Path, list[str]]
    behind: dict[Path, list[str]]
    at_end: list[str]


def comments_of(text: str, tree: Any, is_yaml: bool) -> Comments:
    """The comments of a text.

    A comment in lines of its own is about what follows; another is about the last key or item that
    begins in its line.

    Args:
        text: The text.
        tree: What was read from it.
        is_yaml: Which form it has.
    """
    found = Comments({}, {}, [])
    starts = [0, *(end.end() for end in re.finditer("\n", text))]
    begins = _begins(tree)
    marks = [(mark.line, mark.column) for mark, _ in begins]
    for at, comment in _in_yaml(text) if is_yaml else _in_json(text):
        line = bisect_right(starts, at)
        column = at - starts[line - 1] + 1
        lines = [one.rstrip() for one in comment]
        index = bisect_right(marks, (line, column))
        is_alone = not text[starts[line - 1] : at].strip(" \t[]{},")
        if index and marks[index - 1][0] == line and not is_alone:
            found.behind.setdefault(begins[index - 1][1], []).extend(lines)
        elif index < len(begins):
            found.above.setdefault(begins[index][1], []).extend(lines)
        else:
            found.at_end.extend(lines)
    return found


def with_comments(text: str, comments: Comments, file: str, sign: str) -> str:
    """A text with comments put in.

    Args:
        text: As the writer of its form gives it.
        comments: By the paths of what they are about.
        file: The name of its file, which says its form.
        sign: What begins a comment there.
    """
    lines = text.rstrip("\n").split("\n")
    above: dict[int, list[str]] = {}
    for mark, path in _begins(scan(text, file).tree):
        number = mark.line - 1
        if path in comments.above:
            above.setdefault(number, []).extend(comments.above[path])
        if path in comments.behind:
            lines[number] += f"  {sign} {' '.join(comments.behind[path])}"
    result: list[str] = []
    for number, line in enumerate(lines):
        indent = line[: len(line) - len(line.lstrip())]
        result += [f"{indent}{sign} {one}".rstrip() for one in above.get(number, ())]
        result.append(line)
    result += [f"{sign} {one}".rstrip() for one in comments.at_end]
    return "\n".join(result) + "\n"


def _begins(tree: Any) -> list[tuple[Mark, Path]]:
    """Where keys and items begin, in the order of the text; copies of what is anchored do not."""
    found: list[tuple[Mark, Path]] = []
    for path, _ in walk(tree):
        if not path:
            continue
        holder, step = value_at(tree, path[:-1]), path[-1]
        is_key = isinstance(holder, Table) and isinstance(step, str)
        mark = holder.key_marks.get(step) if is_key else mark_at(holder, step)
        if mark is not None and (not found or mark >= found[-1][0]):
            found.append((mark, path))
    return found


def _in_json(text: str) -> list[tuple[int, list[str]]]:
    found = []
    for match in _IN_JSON.finditer(text):
        comment = match.group()
        if comment.startswith("//"):
            found.append((match.start(), [comment[2:].removeprefix(" ")]))
        elif comment.startswith("/*"):
            lines = [line.strip().removeprefix("*").strip() for line in comment[2:-2].split("\n")]
            found.append((match.start(), [line for line in lines if line]))
    return found


def _in_yaml(text: str) -> list[tuple[int, list[str]]]:
    from yaml import SafeLoader
    from yaml import scan as tokens_of
    from yaml.tokens import ScalarToken

    tokens = (token for token in tokens_of(text, SafeLoader) if isinstance(token, ScalarToken))
    spans = [(token.start_mark.index, token.end_mark.index) for token in tokens]
    begins = [start for start, _ in spans]
    found = []
    for match in _IN_YAML.finditer(text):
        before = bisect_right(begins, match.start()) - 1
        if before < 0 or spans[before][1] <= match.start():
            found.append((match.start(), [match.group()[1:].removeprefix(" ")]))
    return found
