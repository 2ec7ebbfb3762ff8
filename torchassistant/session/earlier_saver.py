"""How scripts of earlier releases get at the models of a session."""

from __future__ import annotations

from pathlib import Path

from torchassistant.session.load import load_session
from torchassistant.session.session import Session


class SessionSaver:
    """Loads a session; new code calls ``torchassistant.load_session``.

    Args:
        session_dir: Its folder.
    """

    def __init__(self, session_dir: str | Path) -> None:
        self.session_dir = session_dir

    def load_from_latest_checkpoint(self) -> Session:
        """The session as it was saved last.

        Raises:
            SessionError: There is none, or it is damaged.
            ConfigError: It names what is not there, or not allowed.
        """
        return load_session(self.session_dir)
