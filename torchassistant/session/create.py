"""A config becomes a session folder."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torchassistant.assembly import Allowlist, FittedArtifacts, fill, missing_data
from torchassistant.config import ReadConfig, Spec, completed, has_missing_parts, read_training
from torchassistant.errors import (
    ConfigError,
    NotWritten,
    Problem,
    SessionError,
    UserError,
    shown_path,
)
from torchassistant.session.building.build_plan import BuildPlan
from torchassistant.session.building.survey import surveyed
from torchassistant.session.files.durable_files import new_folder
from torchassistant.session.folder.lock import only_trainer
from torchassistant.session.folder.session_folder import SessionFolder
from torchassistant.session.folder.wrong_folder import folder_for
from torchassistant.session.predictions.class_names import class_names
from torchassistant.session.preflight import Preflight, preflight
from torchassistant.session.session import Session

Config = str | Path | Mapping[str, Any]


class Draft:
    """A training config that is checked, and from which a session can be made.

    Args:
        config: A config file, the same as data, or what was read of one.
        settings: What is to be changed in a file or data, each as ``PATH=VALUE``.
        trust: Modules that it may name, beyond those that any config may.
        allow_download: Whether it may download, follow addresses and unpack what nobody pinned.
        allow_write: Folders that it may write into, beyond those that any config may.
        dry: Whether it is only looked at, as by ``check``: nothing is fetched, nor written.

    ``missing`` tells of data that a dry one would have to fetch, as far as that is seen at once;
    what a config leaves out is not filled in then.

    Raises:
        ConfigError: With every problem of the config.
        UserCodeError: A module of the user raised while it was imported.
    """

    def __init__(
        self,
        config: Config | ReadConfig,
        settings: Sequence[str] = (),
        trust: Sequence[str] = (),
        allow_download: bool = False,
        allow_write: Sequence[str] = (),
        dry: bool = False,
    ) -> None:
        self.allowlist = Allowlist(trust, allow_download, allow_write)
        self.dry = dry
        if not isinstance(config, ReadConfig):
            config = read_training(config, settings, trust)
        self.diagnostics = config.diagnostics
        self.spec: Spec = surveyed(
            config.spec,
            config.diagnostics,
            self.allowlist,
            is_new=True,
            own=_meant_folder(config),
        )
        try:
            self.allowlist.writing.expect_session(self.spec.session_dir or "")
        except UserError as error:
            raise ConfigError(self.diagnostics.problem(str(error), ("session_dir",))) from None
        self.missing = missing_data(self.spec, self.diagnostics, self.allowlist) if dry else []
        if has_missing_parts(self.spec) and not self.missing:
            filled = fill(self.spec, self.diagnostics, self.allowlist, dry)
            self.spec = completed(filled, self.diagnostics)
            self.diagnostics.raise_if_any()

    @property
    def warnings(self) -> list[Problem]:
        """What is allowed, and is probably not meant."""
        return self.diagnostics.warnings

    def folder(self, session_dir: str | Path | None = None) -> SessionFolder:
        """The folder that the session is for.

        Args:
            session_dir: Another than the config says.

        Raises:
            ConfigError: Nothing says where it should be.
        """
        named = session_dir if session_dir is not None else self.spec.session_dir
        found = folder_for(named, self.diagnostics.file)
        if found is None:
            raise ConfigError('the key "session_dir" is missing')
        return SessionFolder(found)

    def build(self, path: Path, device: str | None = None) -> Session:
        """Build everything, fit what is to be fitted, and draw the splits.

        Args:
            path: The folder that the session is for; nothing is written there.
            device: One device for everything, whatever the config says.
        """
        if self.spec.seed is None:
            self.spec.seed = secrets.randbits(48)
        place_of, fitted = self.diagnostics.place_of, FittedArtifacts()
        plan = BuildPlan(self.spec, place_of, fitted, self.allowlist, device, dry=self.dry)
        return Session(SessionFolder(path), plan)

    def preflight(self) -> Preflight:
        """Build everything and run one batch of every pipeline; nothing is written if it is dry.

        Raises:
            ConfigError: Data is missing, or a pipeline cannot run.
            UserCodeError: The user's code raised.
        """
        if self.missing:
            raise ConfigError(*self.missing)
        session = self.build(Path(self.spec.session_dir or "session"))
        report = preflight(session)
        report.warnings[:0] = session.builder.maker.warnings
        return report


def _meant_folder(config: ReadConfig) -> Path | None:
    """The folder that a config says; None where it says none."""
    named = None if config.spec is None else config.spec.session_dir
    return folder_for(named, config.diagnostics.file)


def create_session(
    config: Config,
    session_dir: str | Path | None = None,
    *,
    settings: Sequence[str] = (),
    trust: Sequence[str] = (),
    allow_download: bool = False,
    allow_write: Sequence[str] = (),
    preflight: bool = True,
    replace: str | None = None,
) -> Session:
    """Create a session: build everything, fit what is to be fitted, draw the splits, store it.

    The folder appears when all of that is done; where anything fails, nothing is left behind.

    Args:
        config: A config file, or the same as data.
        session_dir: The folder; left out: ``session_dir`` of the config, or else ``sessions/``
            with the name of the config's file.
        settings: What is to be changed in the config, each as ``PATH=VALUE``.
        trust: Modules that the config may name, beyond those that any config may.
        allow_download: Whether it may download, follow addresses and unpack what nobody pinned.
        allow_write: Folders that it may write into, beyond those that any config may.
        preflight: Whether one batch of every pipeline is run first.
        replace: The name of the folder, where a session that is there already is to be removed as
            soon as the new one is whole.

    Raises:
        ConfigError: With every problem of the config.
        SessionError: The folder is there already, and ``replace`` is not its name; or it is no
            session, holds something else, or is being trained.
        UserCodeError: The user's code raised.
    """
    draft = Draft(config, settings, trust, allow_download, allow_write)
    return store(draft, session_dir, preflight, replace)[0]


def store(
    draft: Draft,
    session_dir: str | Path | None = None,
    with_preflight: bool = True,
    replace: str | None = None,
) -> tuple[Session, Preflight | None]:
    """Make a session of a config that is checked; see :func:`create_session`.

    Raises:
        ConfigError: The preflight failed, or nothing says where the session should be.
        SessionError: The folder is there already.
        UserCodeError: The user's code raised.
    """
    folder = draft.folder(session_dir)
    if replace is not None and replace != folder.path.name:
        raise SessionError(
            f'the session {shown_path(folder.path)} is named "{folder.path.name}", and not '
            f'"{replace}", which was to be replaced; nothing was changed'
        )
    if not folder.is_there or replace is None:
        _expect_free(folder)
        return _stored(draft, folder.path, with_preflight)
    folder.expect_nothing_else()
    with only_trainer(folder.environment):
        return _stored(draft, folder.path, with_preflight, replaces=True)


def _stored(
    draft: Draft, path: Path, with_preflight: bool, replaces: bool = False
) -> tuple[Session, Preflight | None]:
    draft.spec.session_dir = shown_path(path)
    session = draft.build(path)
    report = preflight(session) if with_preflight else None
    try:
        with new_folder(path, replaces) as aside:
            session.write_new(SessionFolder(aside))
            if report is not None:
                SessionFolder(aside).keep_shapes(report.shapes)
            if names := class_names(session.datasets):
                SessionFolder(aside).keep_class_names(names)
    except NotWritten:
        if not replaces:
            _expect_free(SessionFolder(path))  # another process was faster
        raise
    return session, report


def _expect_free(folder: SessionFolder) -> None:
    path = folder.path
    shown = shown_path(path)
    if folder.is_there:
        raise SessionError(
            f'the session {shown} exists already: train.py resumes it; another "session_dir" '
            f"creates a new one elsewhere; --replace {path.name} starts over, and removes it"
        )
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise SessionError(f"{shown} exists already, and is not a session")
