"""A session folder becomes a session that can go on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torchassistant.assembly import Allowlist, build_pipelines, build_stages
from torchassistant.assembly.user_code import code_of
from torchassistant.config import spec_of
from torchassistant.errors import ConfigError, SessionError
from torchassistant.session import apply_changes, changes
from torchassistant.session.checkpoints import LAST, Checkpoint, Unusable
from torchassistant.session.environment import circumstances, same_versions
from torchassistant.session.opening import open_session
from torchassistant.session.param_group_changes import Regrouping
from torchassistant.session.session import Session
from torchassistant.session.session_folder import SessionFolder
from torchassistant.session.state import progress_of, stored_definitions
from torchassistant.session.survey import surveyed


def load_session(
    path: str | Path,
    device: str | None = None,
    *,
    settings: Sequence[str] = (),
    trust: Sequence[str] = (),
    allow_download: bool = False,
    allow_write: Sequence[str] = (),
    accept_changes: bool = False,
    checkpoint: str = LAST,
) -> Session:
    """Load a session as one of its checkpoints holds it.

    Args:
        path: The session folder.
        device: One device for everything, whatever the config says.
        settings: What is to be changed in its config from now on, each as ``PATH=VALUE``; what has
            changed is written down when the session is trained.
        trust: Modules that the config may name, beyond those that any config may.
        allow_download: Whether it may download, follow addresses and unpack what nobody pinned.
        allow_write: Folders that it may write into, beyond those that any config may.
        accept_changes: Whether changes are accepted that make another run of it: of data, models,
            and the code of those.
        checkpoint: ``last``, ``best`` or a step. To train it, the last one is needed.

    Raises:
        ConfigError: With every problem of the config, and every change that is refused.
        SessionError: There is no session, or no sound checkpoint.
        UserCodeError: The user's code raised.
    """
    allowlist = Allowlist(trust, allow_download, allow_write)
    folder = SessionFolder(path)
    while True:
        found = folder.usable(checkpoint)
        try:
            return _loaded(folder, found, device, settings, allowlist, accept_changes)
        except FileNotFoundError:
            # Where somebody trains the session, a state that was chosen may be taken away.
            if found.path.is_dir():
                raise
        except Unusable as error:
            folder.checkpoints.pass_over(found, error)


def _loaded(
    folder: SessionFolder,
    found: Checkpoint,
    device: str | None,
    settings: Sequence[str],
    allowlist: Allowlist,
    accept_changes: bool,
) -> Session:
    diagnostics = folder.read_spec(found, settings)
    spec = surveyed(spec_of(diagnostics), diagnostics, allowlist)
    changed: list[changes.Change] = []
    before = None
    if settings:
        before = spec_of(folder.read_spec(found))
        assert before is not None, "with the settings it could be read"
        progress = progress_of(found)
        changed = changes.judged(before, spec, progress, diagnostics, accept_changes)
    code = code_of(spec, allowlist)
    of_code, problems = changes.judged_code(folder.code(found), code, accept_changes)
    if problems or diagnostics.problems:
        raise ConfigError(*diagnostics.in_order(), *problems)
    fitted = folder.fitted(found)
    stored = dict(fitted.splits)
    if accept_changes:
        fitted.redraws = True
        for name in changes.splits_in(changed, spec):
            fitted.splits.pop(name, None)
    session = open_session(
        folder.path,
        spec,
        diagnostics.place_of,
        fitted,
        allowlist,
        device,
        stored=stored_definitions(found, spec, fitted),
    )
    build_pipelines(session.builder)
    build_stages(session.builder)
    regrouping = None if before is None else Regrouping(changed, before, session)
    session.code, session.changed = code, [*changed, *of_code]
    session.folder.checkpoints = folder.checkpoints
    try:
        session.restore(found, accept_changes)
    except Unusable as error:
        then = found.state("state")["environment"]
        same = same_versions(then, circumstances(session.device))
        is_other = any(change.effect != "free" for change in (*changed, *of_code))
        if is_other or accept_changes or not same:
            # What has changed may be why, and an earlier state would take the training back.
            raise SessionError(*error.problems) from error.__cause__
        raise
    folder.tell_damage(found, session.logs)
    session.redrawn = {
        name: drawn for name, drawn in fitted.splits.items() if drawn is not stored.get(name)
    }
    if regrouping is not None:
        regrouping.apply()
    apply_changes.apply(changed, session)
    return session
