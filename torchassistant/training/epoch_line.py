"""A row of the history as a line, which a terminal shows without breaking it.

Widths are columns of a terminal, of which letters of East Asia take two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import takewhile
from typing import NamedTuple

from tqdm.utils import disp_len, disp_trim

from torchassistant.errors import in_one_line
from torchassistant.training.progress import Row

MARK = "*"
"""Behind a value that is the best so far."""

_NOT_SHOWN = ("epoch", "step", "seconds")
_VALUE = 7
_NARROW = 60
"""Below so many columns none is kept free for marks that may come."""
_GAP = "  "
_SHORTEST_WORD = 3


class _Plan(NamedTuple):
    """How short things are: which of the titles, and the most columns of a name."""

    title: int
    name: int


_WHOLE = 10**6
_PLANS = [
    *(_Plan(title, _WHOLE) for title in range(3)),
    *(_Plan(2, name) for name in (20, 16, 13, 11, 9)),
    *(_Plan(3, name) for name in (11, 9, 8, 7, 6, 5, 4)),
]

Paint = Callable[[str], str]


class EpochLines:
    """Lays out the rows of a stage, each as the one before: once something is short, it stays so.

    Args:
        paint: Marks the best in a colour too.
    """

    def __init__(self, paint: Paint = str) -> None:
        self._paint = paint
        self._level = 0
        self._widths: dict[str, int] = {}
        """Of the values of each column, with the mark, so that lines stand below each other."""

    def line(
        self, titles: Sequence[str], row: Row, best: Collection[str], width: int | None
    ) -> str:
        """One row.

        Args:
            titles: Of the row, each shorter than the one before; the last one is used for all that
                are missing.
            row: What was measured.
            best: The columns that are at their best.
            width: Of the line, at most; None: as it comes.
        """
        titles = [*titles, *[titles[-1]] * (len(_PLANS) - len(titles))]
        values = [(n, v) for n, v in row.items() if v is not None and n not in _NOT_SHOWN]
        names = [in_one_line(name) for name, _ in values]
        texts = [f"{value:.4g}{MARK if name in best else ''}" for name, value in values]
        has_room = width is None or width >= _NARROW
        for (name, _), text in zip(values, texts, strict=True):
            least = _VALUE + (len(MARK) if has_room and name in best else 0)
            self._widths[name] = max(self._widths.get(name, least), least, len(text))
        texts = [
            text.ljust(self._widths[name]) for (name, _), text in zip(values, texts, strict=True)
        ]
        spent = f"{row['seconds']:.1f} s"
        if width is None:
            return self._joined([titles[0], *_cells(names, texts, self._paint), spent])
        while True:
            plan = _PLANS[self._level]
            short = told_apart(names, plan.name)
            plain = self._joined([titles[plan.title], *_cells(short, texts), spent])
            if disp_len(plain) <= width:
                return self._joined([titles[plan.title], *_cells(short, texts, self._paint), spent])
            if self._level == len(_PLANS) - 1:
                break
            self._level += 1
        return self._cut(titles[plan.title], short, texts, width)

    def _cut(self, title: str, names: list[str], texts: list[str], width: int) -> str:
        """As many values as there is room for, and how many there are besides."""
        for count in range(len(names) - 1, -1, -1):
            rest = f"+{len(names) - count}"
            plain = self._joined([title, *_cells(names[:count], texts), rest])
            if disp_len(plain) <= width:
                cells = _cells(names[:count], texts, self._paint)
                return self._joined([title, *cells, rest])
        return str(disp_trim(title, width))

    @staticmethod
    def _joined(parts: Iterable[str]) -> str:
        return _GAP.join(parts)


def _cells(names: Iterable[str], texts: Iterable[str], paint: Paint = str) -> list[str]:
    cells = []
    for name, text in zip(names, texts, strict=False):
        value = text.rstrip()
        padding = text[len(value) :]
        cells.append(f"{name} {paint(value) if value.endswith(MARK) else value}{padding}")
    return cells


def told_apart(names: Sequence[str], width: int) -> list[str]:
    """Names that are shortened, so that those which differ still do, as far as that goes.

    >>> told_apart(["loss", "validation mean squared error", "validation mean absolute error"], 9)
    ['loss', 'squared', 'absolute']
    """
    short = [shortened(name, width) for name in names]
    for alike in _alike(short):
        own = _own_words([names[place] for place in alike])
        for place, words in zip(alike, own, strict=True):
            short[place] = shortened(words or names[place], width)
    for alike in _alike(short):
        for place in alike:
            short[place] = with_its_end(names[place], width)
    return short


def _alike(texts: Sequence[str]) -> list[list[int]]:
    """The places of texts that are the same, for each that comes more than once."""
    places: dict[str, list[int]] = {}
    for place, text in enumerate(texts):
        places.setdefault(text, []).append(place)
    return [found for found in places.values() if len(found) > 1]


def _own_words(names: Sequence[str]) -> list[str]:
    """Names without the words with which all of them begin, and those with which all end."""
    words = [name.split() for name in names]
    for _ in range(2):
        count = _in_common(words)
        words = [own[count:][::-1] for own in words]
    return [" ".join(own) for own in words]


def _in_common(words: Sequence[Sequence[str]]) -> int:
    """With how many words all begin."""
    return len(list(takewhile(lambda same: len(set(same)) == 1, zip(*words, strict=False))))


def shortened(name: str, width: int) -> str:
    """A name whose longest words are cut until it fits; an ellipsis where that is not enough.

    >>> shortened("validation accuracy top 5", 15)
    'vali accu top 5'
    >>> shortened("validation accuracy top 5", 9)
    'val acc …'
    """
    parts = re.split(r"([^\w]|_)", name)
    while disp_len("".join(parts)) > width:
        longest = max(parts, key=disp_len)
        if disp_len(longest) <= _SHORTEST_WORD:
            return _trimmed("".join(parts), width)
        parts[parts.index(longest)] = longest[:-1]
    return "".join(parts)


def with_its_end(name: str, width: int) -> str:
    """A name whose middle is left out, for those that begin alike.

    >>> with_its_end("loss of the first", 8)
    'loss…rst'
    """
    if disp_len(name) <= width:
        return name
    end = name[-(width // 2 - 1) :]
    return f"{disp_trim(name, width - 1 - disp_len(end))}…{end}"


def _trimmed(text: str, width: int) -> str:
    return text if disp_len(text) <= width else f"{disp_trim(text, width - 1)}…"


def joined_within(parts: Iterable[str], width: int | None) -> str:
    """Parts with commas between them, as many as there is room for; the first one in any case."""
    found = ""
    for part in parts:
        longer = f"{found}, {part}" if found else part
        if found and width is not None and disp_len(longer) > width:
            break
        found = longer
    return found
