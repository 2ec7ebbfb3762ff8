"""Every error that a user may see, and the one place that turns problems into text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the user's files something stands.

    Args:
        file: The file as the user named it; empty where there is no file.
        line: Line, counted from 1; 0 where it is not known.
        column: Column in characters, counted from 1.
        path: The path in the config, as ``initialize.definitions[3].spec``.
    """

    file: str = ""
    line: int = 0
    column: int = 0
    path: str = ""

    def __str__(self) -> str:
        position = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return ": ".join(part for part in (position, self.path) if part)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that the user can correct: a sentence and the place that it is about.

    ``details`` are lines below the sentence, as those of a diff.
    """

    message: str
    place: Place = Place()
    details: str = ""

    def __str__(self) -> str:
        where = str(self.place)
        sentence = f"{where}: {self.message}" if where else self.message
        return f"{sentence}\n{self.details}" if self.details else sentence


class UserError(Exception):
    """Something that the user can correct. The commands answer it with status 2 and no traceback.

    Args:
        problems: What is wrong, each with its place where that is known.
        about: The processor, and the node in it, that it happened in, where they are known.

    ``warnings`` holds what is no mistake, and was found with the problems.
    """

    def __init__(self, *problems: Problem | str, about: tuple[str, ...] = ()) -> None:
        self.about = about
        self.warnings: list[Problem] = []
        self.problems = [Problem(p) if isinstance(p, str) else p for p in problems]
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ConfigError(UserError):
    """The config cannot be read, or describes something that cannot be built."""


class SessionError(UserError):
    """The session folder is missing, there already, or damaged."""


class DataError(UserError):
    """Data that does not fit what the config says of it."""


class WorkerLost(Exception):
    """A loader worker died, or gave nothing for too long; the cause of a :class:`UserCodeError`."""


class NotSaved(Exception):
    """Training is done, but not all of it could be saved. The commands answer it with status 1.

    Args:
        failures: A sentence for each time that it failed.
    """

    def __init__(self, failures: Sequence[str]) -> None:
        self.failures = list(failures)
        super().__init__("; ".join(failures))


class NotWritten(OSError):
    """A file or folder could not be written. The commands answer it with status 2.

    Args:
        path: What was to be written, as the user knows it.
        error: What the system says, perhaps of a folder on the way.
    """

    def __init__(self, path: str | Path, error: OSError) -> None:
        super().__init__(error.errno, error.strerror or str(error), str(path))
        self.where = ""
        if error.filename is not None and Path(os.path.abspath(error.filename)) in _around(path):
            self.where = f" ({shown_path(os.fsdecode(error.filename))})"

    def __str__(self) -> str:
        return f"{shown_path(self.filename)} cannot be written: {self.strerror}{self.where}"


def _around(path: str | Path) -> Sequence[Path]:
    return Path(os.path.abspath(path)).parents


class EndedElsewhere(BaseException):
    """Another process that takes part in the work has ended it.

    Like :class:`Interrupted` it is no ``Exception``, so that code of the user does not answer it.

    Args:
        message: What happened, and where; empty where it was said there.
        status: The exit status of all processes.
        speaks: Whether this process is the one that says it.
    """

    def __init__(self, message: str, status: int, speaks: bool) -> None:
        self.message = message
        self.status = status
        self.speaks = speaks
        super().__init__(message)


class NoColumn(DataError):
    """A column that somebody asked for is not there.

    Args:
        message: What was asked of what.
        column: The name of the column.
    """

    def __init__(self, message: str, column: str) -> None:
        self.column = column
        super().__init__(message)


class UserCodeError(Exception):
    """The user's own code raised: which part of the run it was in; the cause is the original.

    The commands answer it with status 1, the part, and a traceback of the user's frames.
    ``problems`` holds what else was found by then.
    """

    def __init__(self, part: str) -> None:
        self.part = part
        self.problems: list[Problem] = []
        super().__init__(part)

    def in_part_of(self, whole: str) -> UserCodeError:
        """The same error, with what the part is a part of."""
        return UserCodeError(f"{self.part}, in {whole}")


def cause_of(error: BaseException) -> BaseException:
    """What an error was raised from; itself, where it was raised from nothing."""
    return error if error.__cause__ is None else error.__cause__


STANDARD_OUTPUT = "standard output"
"""In the place of a file's name, in the error that it cannot be written."""


@contextmanager
def blaming(part: str) -> Iterator[None]:
    """What raises in here is the user's code, in this part of the run.

    It is no fault of this code that nobody reads standard output any more, or that a disk is full.

    Not for what runs once an iteration: there, a plain ``try`` costs nothing.
    """
    try:
        yield
    except (UserError, UserCodeError, NotWritten):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.filename == STANDARD_OUTPUT:
            raise
        raise UserCodeError(part) from error


class Interrupted(BaseException):
    """A signal asked the run to stop; the state on disk is intact.

    Like ``KeyboardInterrupt`` this is no ``Exception``, so that code of the user that answers
    exceptions does not answer it.

    Args:
        signum: The number of the signal.
        message: What was saved, and how to go on.
    """

    def __init__(self, signum: int, message: str) -> None:
        self.signum = signum
        super().__init__(message)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant, if one is near."""
    return next(iter(all_near(name, known)), None)


def all_near(name: str, known: Iterable[str]) -> list[str]:
    """The known names that may have been meant, the most likely first.

    >>> all_near("Adma", ["AdamW", "Adam", "SGD", "Adamax"])
    ['Adam', 'Adamax', 'AdamW']
    """
    # Comparing is dear: beyond so many names or letters nobody is helped by it.
    names = sorted(n for n in set(known) if len(n) <= _LONGEST)[:_MOST]
    found = get_close_matches(name, names, n=_FEW, cutoff=0.6) if len(name) <= _LONGEST else []
    if not found:
        return [n for n in names if n.casefold() == name.casefold()][-1:]
    return sorted(found, key=lambda other: not is_slip(name, other))


_MOST, _LONGEST, _FEW = 1000, 100, 5


def is_slip(one: str, other: str) -> bool:
    """Whether one letter was left out, added, replaced, or exchanged with its neighbour."""
    short, long = sorted((one, other), key=len)
    at = next((i for i, letter in enumerate(short) if letter != long[i]), len(short))
    if len(short) != len(long):
        return short[at:] == long[at + 1 :]
    swapped = short[at + 1 : at + 2] + short[at : at + 1] + short[at + 2 :]
    return short[at + 1 :] == long[at + 1 :] or swapped == long[at:]


def near(name: str, known: Iterable[str]) -> str:
    """A clause that names the nearest known name, or lists the known ones.

    >>> near("trian", ["train", "val"])
    '; did you mean "train"?'
    """
    names = sorted(set(known))
    meant = nearest(name, names)
    if meant is not None:
        return f'; did you mean "{meant}"?'
    if not names:
        return ""
    return f"; there {'is' if len(names) == 1 else 'are'} {listing(names)}"


def listing(names: Sequence[str], limit: int = 12) -> str:
    """Names in quotes, joined by commas, cut after ``limit``."""
    shown = ", ".join(f'"{name}"' for name in names[:limit])
    return f"{shown}, … ({len(names)} in all)" if len(names) > limit else shown


def with_article(word: str) -> str:
    """The name of a type, in a sentence.

    >>> with_article("int")
    'an int'
    """
    return f"{'an' if word[:1].lower() in 'aeiou' else 'a'} {word}"


_CONTROLS = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069]"
)


def without_controls(text: str) -> str:
    r"""A text in which what would control a terminal is shown as Python writes it.

    Names, paths and messages come from configs, sessions and files of anybody. Ends of lines and
    tabs stay.

    >>> print(without_controls("a\x1b[2Jb"))
    a\x1b[2Jb
    """
    return _CONTROLS.sub(lambda found: repr(found[0])[1:-1], text)


def in_one_line(text: str) -> str:
    """The same, in one line: what follows an end of a line cannot pass for a line of ours."""
    return without_controls(text).replace("\n", "\\n").replace("\t", "\\t")


def escaped_in_json(text: str) -> str:
    """A text of JSON in which what would control a terminal is escaped, as JSON escapes it."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def shown_path(path: str | Path) -> str:
    """A path as a person would type it: relative to the working folder where it lies below it."""
    try:
        here = Path.cwd()
    except FileNotFoundError:  # somebody has taken it away
        return str(path)
    whole = os.path.abspath(path)
    # A link is called by its own name, also where the working folder was reached through another.
    for known in (whole, os.path.join(os.path.realpath(os.path.dirname(whole)), Path(whole).name)):
        with suppress(ValueError):
            return str(Path(known).relative_to(here))
    return str(path)
