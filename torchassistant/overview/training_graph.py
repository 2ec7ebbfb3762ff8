"""The training graph of a session, from its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchassistant.errors import SessionError, shown_path
from torchassistant.overview.stored import (
    SPEC,
    Unreadable,
    looks_like_session,
    object_in,
    required,
)

if TYPE_CHECKING:
    from torchassistant.config import Spec

SHAPES = "static/shapes.json"


def stored_graph(folder: Path) -> tuple[Spec, Mapping[str, Any] | None]:
    """What the training graph of a session is made of: its config, and shapes where it keeps some.

    Raises:
        SessionError: It is no session, or its config cannot be read.
    """
    from torchassistant.config import read, spec_of  # which other overviews need not wait for

    if not looks_like_session(folder):
        raise SessionError(f"{shown_path(folder)} is not a session folder")
    try:
        config = required(folder, SPEC)
        shapes = _shapes(folder)
    except Unreadable as error:
        raise SessionError(f"{shown_path(folder)} is damaged: {error}") from None
    # Variables are put in already; a "${" that is left is text.
    diagnostics = read(config, variables=False)
    spec = spec_of(diagnostics)
    if spec is None or diagnostics.problems:
        problem = diagnostics.problems[0].message
        raise SessionError(f"{shown_path(folder)} is damaged: {SPEC} is not a config: {problem}")
    return spec, shapes


def _shapes(folder: Path) -> Mapping[str, Any] | None:
    try:
        return object_in(folder / SHAPES)
    except (FileNotFoundError, NotADirectoryError):
        return None


def training_graph(folder: Path) -> str:
    """The training graph of a session as SVG; the session may be trained meanwhile.

    Raises:
        SessionError: It is no session, or its config cannot be read.
        UserError: graphlay, which draws it, is not installed.
    """
    from torchassistant.diagram import diagram_of, svg_of

    spec, shapes = stored_graph(folder)
    return svg_of(diagram_of(spec, folder.name, shapes=shapes))
