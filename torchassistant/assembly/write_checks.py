"""What a config names to write files: only where a config may have them written."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torchassistant.assembly.signatures import Misfit
from torchassistant.callbacks.logger import Logger
from torchassistant.errors import UserError
from torchassistant.trackers import missing_package
from torchassistant.writing import WritesFiles, Writing


def keep_to(writing: Writing, made: Any, target: Any) -> None:
    """Tell what a config had made where it may write.

    A function of the user's own that makes it says itself where that is.

    Args:
        writing: Where that is.
        made: What was made.
        target: What the config names, which was called.

    Raises:
        UserError: It is to write elsewhere.
    """
    if isinstance(made, WritesFiles) and not inspect.isroutine(target):
        made.keep_to(writing)


def misplaced(
    target: Any, args: Sequence[Any], kwargs: Mapping[str, Any], writing: Writing
) -> Misfit | None:
    """What is wrong with where a class of ours is to write; None where nothing is, or may be.

    Args:
        target: What the config names.
        args: Its arguments as the config has them.
        kwargs: The same.
        writing: Where a config may write.
    """
    is_ours = inspect.isclass(target) and issubclass(target, WritesFiles)
    if not is_ours or target.__module__.partition(".")[0] != __name__.partition(".")[0]:
        return None
    if issubclass(target, Logger) and (missing := missing_package(target.tracker)) is not None:
        return Misfit(f"{target.__name__}: {missing}")
    try:
        made = target(*args, **kwargs)  # which writes nothing yet
    except (TypeError, ValueError):
        return None
    try:
        made.keep_to(writing)
    except UserError as error:
        at = ("kwargs", target.names_place) if target.names_place in kwargs else ("args", 0)
        return Misfit(f"{target.__name__}: {error}", at)
    return None
