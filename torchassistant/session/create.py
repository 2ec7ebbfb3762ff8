"""A config becomes a session folder."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torchassistant.build import Statics, build_pipelines, build_stages
from torchassistant.config import Spec, parse, read
from torchassistant.data.randomness import derived, seeded
from torchassistant.errors import ConfigError, SessionError, shown_path
from torchassistant.session.folder import SessionFolder, write_environment
from torchassistant.session.opening import open_session
from torchassistant.session.session import Session
from torchassistant.session.storage import new_folder


def create_session(
    config: str | Path | Mapping[str, Any], session_dir: str | Path | None = None
) -> Session:
    """Create a session: build everything, fit what is to be fitted, draw the splits, store it.

    The folder appears when all of that is done; where anything fails, nothing is left behind.

    Args:
        config: A config file, or the same as data.
        session_dir: The folder; left out: ``session_dir`` of the config.

    Raises:
        ConfigError: With every problem of the config.
        SessionError: The folder is there already.
        UserCodeError: The user's code raised.
    """
    file = "" if isinstance(config, Mapping) else str(config)
    tree = read(config)
    spec = parse(tree, file)
    path = _free_folder(spec, session_dir)
    if spec.seed is None:
        spec.seed = secrets.randbits(48)
    spec.session_dir = str(path)
    statics = Statics()
    session = open_session(path, spec, tree, statics)
    build_pipelines(session.builder)
    build_stages(session.builder)
    with new_folder(path) as aside:
        folder = SessionFolder(aside)
        folder.create(spec, statics)
        write_environment(folder, spec.seed, session.device)
        with seeded(derived(spec.seed, "training")):
            folder.checkpoints.save(session, session.progress)
    session.restore()
    return session


def _free_folder(spec: Spec, session_dir: str | Path | None) -> Path:
    name = session_dir if session_dir is not None else spec.session_dir
    if name is None:
        raise ConfigError('the key "session_dir" is missing')
    path = Path(name)
    if SessionFolder(path).spec.exists():
        raise SessionError(
            f"the session {shown_path(path)} exists already; train.py goes on with it, and a new "
            'one needs another "session_dir"'
        )
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise SessionError(f"{shown_path(path)} exists already, and is no session")
    return path
