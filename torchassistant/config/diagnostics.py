"""What is wrong with a config, and which of its parts cannot be relied on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from torchassistant.config.tree import Mark, Path, Row, Table, place_of, printable, value_at
from torchassistant.errors import ConfigError, Place, Problem


class _Paths(set[Path]):
    """Paths, and everything above them."""

    def __init__(self) -> None:
        super().__init__()
        self.above: set[Path] = set()

    def add(self, path: Path) -> None:
        super().add(path)
        self.above.update(path[:end] for end in range(len(path)))

    def update(self, *others: Iterable[Path]) -> None:
        for paths in others:
            for path in paths:
                self.add(path)


class Likeness(NamedTuple):
    """What is like what: see ``inheritance``.

    Args:
        name: What takes over.
        base: The name of what it is like.
        path: Of the key that says so, which is taken away.
        mark: Its position.
        own: The positions of what it says itself.
    """

    name: str
    base: str
    path: Path
    mark: Mark | None
    own: frozenset[Mark]


class Diagnostics:
    """Collects problems from every level of the check, so that none hides another.

    A part of the config that is wrong in itself is *broken*: nothing more is said of it, and
    nothing is concluded from what it may lack.

    Args:
        tree: The config, for the places of problems.
        file: The file to name where no position is known.
    """

    def __init__(self, tree: Any, file: str = "") -> None:
        self.tree = tree
        self.file = file
        self.files = {file} - {""}
        """That file, and those that it includes."""
        self.variables: Any = None
        """The variables of the config, where their values were put in."""
        self.likenesses: dict[Path, Likeness] = {}
        """By the path of what takes over from another."""
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.broken = _Paths()
        self.in_parts = False
        """Whether the definitions were written in parts, as in earlier releases."""
        self.keeps_prediction = False
        """Whether an inference config that names no results keeps the prediction alone."""
        self.dropped: set[Path] = set()
        """Blocks that had a key which nobody knows."""
        self.ungrouped: dict[Path, str] = {}
        """Names of definitions of which nobody can say what they are."""
        self.untrained: list[tuple[str, Path]] = []
        """Models that no optimizer trains, and where they are named."""

    def note(self, message: str, path: Path, at_key: bool = False) -> None:
        """Note a problem, unless something at or above its place is broken."""
        if not self.is_broken(path):
            self.problems.append(self.problem(message, path, at_key))

    def warn(self, message: str, path: Path) -> None:
        """Note something that is allowed, and is probably not meant."""
        if not self.is_broken(path):
            self.warnings.append(self.problem(message, path))

    def broke(self, message: str, path: Path, at_key: bool = False) -> None:
        """Note a problem, and that the part at ``path`` is broken."""
        self.note(message, path, at_key)
        self.broken.add(path)

    def broke_wholly(self, message: str, path: Path) -> None:
        """The same in place of what was noted within that part, which is of the wrong kind."""
        whole = self.place_of(path).path
        within = (f"{whole}.", f"{whole}[")
        self.problems = [one for one in self.problems if not one.place.path.startswith(within)]
        self.broke(message, path)

    def problem(self, message: str, path: Path, at_key: bool = False) -> Problem:
        """A problem with its place."""
        return Problem(printable(message), place_of(self.tree, path, self.file, at_key))

    def place_of(self, path: Path) -> Place:
        """Where a path of the config stands in the user's files."""
        return place_of(self.tree, path, self.file)

    def is_written(self, path: Path) -> bool:
        """Whether the config itself has something at a path, and it was not filled in."""
        try:
            value_at(self.tree, path)
        except (KeyError, IndexError, TypeError):
            return False
        return True

    def count_before(self, path: Path, count: int) -> None:
        """Have so many values stand before those of a list of the config: they were filled in."""
        rows = Row()
        for _ in range(count):
            rows.put(Table(), None)
        table = value_at(self.tree, path[:-1])
        rows.mark = getattr(table[path[-1]], "mark", None)
        rows.take_all(table[path[-1]])
        table[path[-1]] = rows

    def last_written(self, path: Path, keys: Sequence[str]) -> str:
        """Of some keys of an object, the one that stands last in the config."""
        return [key for key in value_at(self.tree, path) if key in keys][-1]

    def is_broken(self, path: Path) -> bool:
        """Whether the part at ``path``, or one that holds it, is broken."""
        broken = self.broken
        return bool(broken) and any(path[:end] in broken for end in range(len(path) + 1))

    def is_whole(self, *paths: Path) -> bool:
        """Whether nothing at, above or below these paths is broken.

        Only then may something be concluded from what is not there.
        """
        return not any(path in self.broken.above or self.is_broken(path) for path in paths)

    def in_order(self) -> list[Problem]:
        """The problems in file order, without repeats."""
        return in_file_order(self.problems)

    def raise_if_any(self) -> None:
        """Raise what was found.

        Raises:
            ConfigError: With every problem, in file order.
        """
        if self.problems:
            error = ConfigError(*self.in_order())
            error.warnings = in_file_order(self.warnings)
            raise error


def in_file_order(problems: list[Problem]) -> list[Problem]:
    """Problems sorted by position, without repeats: what stands once is told once, though it may
    count in several places.
    """
    found: dict[Any, Problem] = {}
    for problem in problems:
        is_placed = problem.place.line > 0
        key = (problem.message, _position(problem)) if is_placed else problem
        found.setdefault(key, problem)
    return sorted(found.values(), key=_position)


def _position(problem: Problem) -> tuple[str, int, int]:
    return problem.place.file, problem.place.line, problem.place.column
