"""A session folder becomes a session that can go on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torchassistant.assembly import Allowlist, code_of
from torchassistant.config import spec_of
from torchassistant.errors import ConfigError, SessionError
from torchassistant.session import apply_changes, changes
from torchassistant.session.build_plan import BuildPlan
from torchassistant.session.checkpoint_selection import LAST
from torchassistant.session.checkpoint_storage import Checkpoint, Unusable
from torchassistant.session.environment import circumstances, same_versions
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
        SessionError: There is no session, or no checkpoint that is not damaged.
        UserCodeError: The user's code raised.
    """
    allowlist = Allowlist(trust, allow_download, allow_write)
    folder = SessionFolder(path)
    while True:
        chosen = folder.verified(checkpoint)
        try:
            return _loaded(folder, chosen, device, settings, allowlist, accept_changes)
        except FileNotFoundError:
            # Where somebody trains the session, a state that was chosen may be taken away.
            if folder.storage.has(chosen.name):
                raise
        except Unusable as error:
            folder.checkpoints.pass_over(chosen, error)


def _loaded(
    folder: SessionFolder,
    checkpoint: Checkpoint,
    device: str | None,
    settings: Sequence[str],
    allowlist: Allowlist,
    accepted: bool,
) -> Session:
    diagnostics = folder.read_spec(checkpoint, settings)
    before = checkpoint.spec
    spec = surveyed(spec_of(diagnostics) if settings else before, diagnostics, allowlist)
    changed: list[changes.Change] = []
    if settings:
        progress = progress_of(checkpoint)
        changed = changes.judged(before, spec, progress, diagnostics, accepted)
    code = code_of(spec, allowlist)
    of_code, problems = changes.judged_code(checkpoint.code(), code, accepted)
    if problems or diagnostics.problems:
        raise ConfigError(*diagnostics.in_order(), *problems)
    fitted = folder.fitted(checkpoint)
    if accepted:
        fitted.redraws = True
        for name in changes.splits_in(changed, spec):
            fitted.splits.pop(name, None)
    stored = stored_definitions(checkpoint, spec, fitted)
    plan = BuildPlan(spec, diagnostics.place_of, fitted, allowlist, device, stored)
    session = Session(folder, plan, code, [*changed, *of_code])
    regrouping = Regrouping(changed, before, session)
    try:
        session.restore(checkpoint, accepted)
    except Unusable as error:
        then = checkpoint.state("state")["environment"]
        same = same_versions(then, circumstances(session.device))
        is_other = any(change.effect != "free" for change in (*changed, *of_code))
        if is_other or accepted or not same:
            # What has changed may be why, and an earlier state would take the training back.
            raise SessionError(*error.problems) from error.__cause__
        raise
    folder.warn_of_damage(checkpoint, session.logs)
    regrouping.apply()
    apply_changes.apply(changed, session)
    return session
