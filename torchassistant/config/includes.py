"""The key ``$include``: files that are laid under the one that names them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torchassistant.config.aliases import apply_aliases
from torchassistant.config.diagnostics import Diagnostics
from torchassistant.config.merge import merge_configs
from torchassistant.config.reader import read_file
from torchassistant.config.text import Text
from torchassistant.config.tree import UNREADABLE, Table, as_tree
from torchassistant.errors import ConfigError, Problem, shown_path
from torchassistant.ownership import trusted_in_environment

INCLUDE = "$include"
MOST_FILES = 100


def with_includes(text: Text, trusted: Sequence[str] = ()) -> Text:
    """A config with what it includes laid under it.

    ``"$include": ["base.json"]`` names files, each by its path from the file that names it, or
    from the working directory where that is no file. Of several, a later one is laid over an
    earlier one, and the config over all of them, by the rules of merging; what is changed must be
    there.

    Args:
        text: What was read. Its tree may be changed.
        trusted: What ``--trust`` was given: those that are folders may be included from, beside
            the folder that the config is in.

    Returns:
        The whole, with all problems; the same where nothing is included.
    """
    if not isinstance(text.tree, Table) or INCLUDE not in text.tree:
        return text
    including = _Including(Path(text.file).parent, trusted)
    tree = including.whole(text, (os.path.realpath(text.file),) if text.file else ())
    problems = [*text.problems, *including.problems]
    return Text(tree, problems, text.file, frozenset(including.files), including.in_parts)


def trusted_folders(trusted: Sequence[str]) -> list[str]:
    """Of what ``--trust`` was given, the folders: what has a slash, or is dots alone."""
    given = (*trusted, *trusted_in_environment())
    return [os.path.realpath(name) for name in given if os.sep in name or not name.strip(".")]


class _Including:
    def __init__(self, folder: Path, trusted: Sequence[str]) -> None:
        self.folders = [os.path.realpath(folder), *trusted_folders(trusted)]
        self.problems: list[Problem] = []
        self.count = 0
        self.files: set[str] = set()
        self.in_parts = False

    def whole(self, text: Text, chain: tuple[str, ...]) -> Table:
        """What was read, laid over what it includes.

        Args:
            text: What was read.
            chain: The files that are being read, by their real paths; this is the last.
        """
        here = Diagnostics(text.tree, text.file)
        names = text.tree[INCLUDE]
        base: Any = None
        if isinstance(names, list):
            for index, name in enumerate(names):
                found = self.included(name, here, index, chain)
                if found is not None:
                    base = found if base is None else self.laid(base, found, here)
        elif names is not UNREADABLE:
            here.note("expected a list of files", (INCLUDE,))
        del text.tree[INCLUDE]
        tree = text.tree if base is None else self.laid(base, text.tree, here)
        self.problems += here.problems
        return as_tree(tree)

    def included(self, name: Any, here: Diagnostics, index: int, chain: tuple[str, ...]) -> Any:
        """One file, laid over what it includes itself; None where it cannot be read."""
        path = (INCLUDE, index)
        if not isinstance(name, str) or not name or "\0" in name:
            if name is not UNREADABLE:
                here.note("expected the name of a file", path)
            return None
        file = Path(here.file).parent / name
        real = os.path.realpath(file)
        if os.path.realpath(os.path.normpath(file)) == real:  # no link is left out by that
            file = Path(os.path.normpath(file))
        if real in chain:
            files = [shown_path(Path(one)) for one in (*chain[chain.index(real) :], real)]
            here.note(f"this includes itself: {' → '.join(files)}", path)
            return None
        if not any(Path(real).is_relative_to(folder) for folder in self.folders):
            folder = os.path.relpath(os.path.dirname(real))
            consent = folder if os.sep in folder or folder == ".." else f"./{folder}"
            here.note(
                f"{shown_path(Path(real))} is outside of the folder of the config; "
                f"--trust {consent} allows to include what is there",
                path,
            )
            return None
        self.count += 1
        if self.count > MOST_FILES:
            if self.count == MOST_FILES + 1:
                here.note(f"more than {MOST_FILES} files are included", path)
            return None
        try:
            text = read_file(file)
        except ConfigError as error:
            # What is wrong within the file has its place there.
            for problem in error.problems:
                if problem.place.line:
                    self.problems.append(problem)
                else:
                    here.note(f"{problem.message} ({shown_path(file)})", path)
            return None
        self.files.add(text.file)
        self.problems += text.problems
        if not isinstance(text.tree, Table):
            if not text.problems:
                here.note(f"{shown_path(file)} holds no object of keys and values", path)
            return None
        return self.whole(text, (*chain, real)) if INCLUDE in text.tree else text.tree

    def laid(self, base: Table, over: Table, here: Diagnostics) -> Table:
        """One config laid over another, both with the names that are used here."""
        for tree in (base, over):
            diagnostics = Diagnostics(tree, here.file)
            apply_aliases(diagnostics)
            self.problems += diagnostics.problems
            self.in_parts |= diagnostics.in_parts
        laid = Diagnostics(over, here.file)
        try:
            merged: Table = merge_configs(base, over, here.file, laid.note)
        except ConfigError as error:
            self.problems += error.problems
            merged = base
        self.problems += laid.problems
        return merged
