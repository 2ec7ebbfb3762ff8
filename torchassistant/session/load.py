"""A session folder becomes a session that can go on."""

from __future__ import annotations

from pathlib import Path

from torchassistant.build import build_pipelines, build_stages
from torchassistant.config import parse
from torchassistant.session.folder import SessionFolder
from torchassistant.session.opening import open_session
from torchassistant.session.session import Session


def load_session(path: str | Path, device: str | None = None) -> Session:
    """Load a session as its newest sound checkpoint holds it.

    Args:
        path: The session folder.
        device: One device for everything, whatever the config says.

    Raises:
        SessionError: There is no session, or no sound checkpoint.
        UserCodeError: The user's code raised.
    """
    folder = SessionFolder(path)
    tree = folder.read_spec()
    spec = parse(tree, str(folder.spec))
    session = open_session(folder.path, spec, tree, folder.statics(), device)
    build_pipelines(session.builder)
    build_stages(session.builder)
    session.restore()
    return session
