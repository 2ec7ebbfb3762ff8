"""Sends the stored history of a session to a tracker, without building anything of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torchassistant.callbacks.logger import Logger
from torchassistant.callbacks.loggers import MLflow, TensorBoard, Trackio
from torchassistant.errors import ConfigError, SessionError, UserError, listing, shown_path
from torchassistant.session.folder.session_folder import SessionFolder
from torchassistant.session.history.history import History
from torchassistant.session.state.state import progress_of
from torchassistant.session.views.history_feed import HistoryFeed, about_session
from torchassistant.whole_files import naming

_LOGGERS: dict[str, type[Logger]] = {one.command: one for one in (TensorBoard, MLflow, Trackio)}


def log_history(path: str | Path, to: str, **options: Any) -> tuple[int, str]:
    """Send a tracker what it lacks of the newest checkpoint of a session.

    Args:
        path: The session folder.
        to: ``tensorboard``, ``mlflow`` or ``trackio``.
        options: Arguments of the logger of that name: ``folder``, ``name``, ``experiment``,
            ``project``.

    Returns:
        How many points and pictures were sent, and where they are.

    Raises:
        ConfigError: A package is missing, or there is no such tracker, option or name.
        SessionError: There is no session; or it, or another one, is being sent there just now.
        OSError: The files of the tracker cannot be written.
    """
    logger = _logger(to, options)
    folder = SessionFolder(path)
    checkpoint = folder.verified()
    stages = len(checkpoint.spec.train.stages)
    feed = HistoryFeed(
        about_session(folder.path, checkpoint.spec, checkpoint.manifest.fixed),
        History(folder.logs(checkpoint)),
        stages,
    )
    follower = logger.follower(folder.path, feed)
    where = follower.tracker.where
    try:
        with naming(Path(where)):
            sent = follower.catch_up()
            is_done = progress_of(checkpoint).stage >= stages
            follower.close("finished" if is_done else "stopped")
    except (UserError, OSError):
        raise
    except Exception as error:  # of the tracker: a locked database, and the like
        said = str(error).strip().partition("\n")[0]
        raise SessionError(f"{shown_path(where)} could not be written: {said}") from error
    return sent, where


def _logger(to: str, options: dict[str, Any]) -> Logger:
    if to not in _LOGGERS:
        raise ConfigError(f'"{to}" is no tracker; there are {listing(list(_LOGGERS))}')
    for option, only in (("experiment", "mlflow"), ("project", "trackio")):
        if option in options and to != only:
            raise ConfigError(f'"{option}" is an option of {only}, and not of {to}')
    try:
        return _LOGGERS[to](**options)
    except ValueError as error:
        raise ConfigError(str(error)) from None
