"""What somebody named in place of a session folder, and what to do about it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torchassistant.config import Spec, is_session, kind_of, read_file, substitute
from torchassistant.errors import ConfigError, listing, nearest, shown_path


def folder_for(session_dir: Any, file: str) -> Path | None:
    """The folder of the session of a config.

    Args:
        session_dir: What the config says of it; None where it says nothing.
        file: The file of the config; empty where there is none.
    """
    if session_dir is None:
        return Path("sessions", Path(file).stem) if file else None
    return Path(session_dir) if isinstance(session_dir, (str, Path)) and session_dir else None


def why_no_session(path: Path) -> str:
    """A sentence for somebody who named no session folder."""
    name = shown_path(path)
    around = next((shown_path(parent) for parent in path.parents if is_session(parent)), None)
    if around is not None and path.exists():
        return f"{name} is not a session folder; it is a part of the session {around}"
    if path.is_dir():
        inside = [shown_path(folder) for folder in _folders(path) if is_session(folder)]
        several = "s" if len(inside) > 1 else ""
        holds = (
            f"it holds the session{several} {listing(inside)}" if inside else "it has no spec.json"
        )
        return f"{name} is not a session folder ({holds})"
    if path.is_file():
        return f"{name} is {_file(path)}"
    if os.path.lexists(path):
        return f"{name} is not a folder, and so not a session (init.py creates one)"
    meant = near_session(path)
    hint = "" if meant is None else f'; did you mean "{shown_path(meant)}"?'
    return f"{name} does not exist (init.py creates one){hint}"


def near_session(path: Path) -> Path | None:
    """The session beside a path whose name is near to its name, if there is one."""
    meant = nearest(path.name, [f.name for f in _folders(path.parent) if is_session(f)])
    return None if meant is None else path.parent / meant


def _folders(path: Path) -> Iterator[Path]:
    try:
        with os.scandir(path) as entries:
            yield from (Path(entry.path) for entry in entries if entry.is_dir())
    except OSError:
        return


def _file(path: Path) -> str:
    """What a file is, and where the session is that it is about."""
    try:
        tree = read_file(path).tree
    except ConfigError:
        tree = None
    if not isinstance(tree, dict) or not tree.keys() & {"initialize", "session_dir"}:
        return "a file, not a session folder (init.py creates one)"
    substitute(tree, os.environ, lambda message, at: None)
    kind = kind_of(tree)
    noun = "a config" if kind is None else kind.noun
    session = folder_for(tree.get("session_dir"), str(path))
    is_training = kind is None or kind.block is Spec
    if session is None:
        return f"{noun}, and no session folder"
    if is_session(session):
        return f"{noun}, and no session folder; {shown_path(session)} is its session"
    if is_training:
        makes = f"init.py {shown_path(path)} makes the session, {shown_path(session)}"
        return f"{noun}, and no session folder; {makes}"
    return f"{noun}, and no session folder; the session that it is for, {session}, does not exist"
