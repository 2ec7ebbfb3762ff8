"""A session folder becomes a session that can go on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torchassistant.assembly import Allowlist, code_of, needed_for
from torchassistant.config import GROUPS, Key, Spec, spec_of
from torchassistant.errors import ConfigError, SessionError, near, shown_path
from torchassistant.parallel import Processes
from torchassistant.session.building.build_plan import BuildPlan
from torchassistant.session.building.session_weights import tell_stale_statistics
from torchassistant.session.building.survey import surveyed
from torchassistant.session.changes import apply_changes, changes
from torchassistant.session.changes.param_group_changes import Regrouping
from torchassistant.session.checkpoints.selection import LAST
from torchassistant.session.checkpoints.storage import Checkpoint, Unusable
from torchassistant.session.folder.environment import circumstances, same_versions
from torchassistant.session.folder.session_folder import SessionFolder
from torchassistant.session.session import Session
from torchassistant.session.state.state import progress_of, stored_definitions


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
    only: Sequence[str] | None = None,
    processes: Processes | None = None,
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
        only: Groups of definitions, as ``["models"]``: those are built, with what they need, and
            get their state; nothing else of the session is built, nor has to be importable. Such a
            session cannot be trained. Left out: all of it.
        processes: Those that train it, as ``distributed`` of its config says; it gets one where it
            has none, and they are several. Left out: this one alone.

    Raises:
        ConfigError: With every problem of the config, and every change that is refused; or a group
            is none, or is for training only.
        SessionError: There is no session, or no checkpoint that is not damaged.
        UserCodeError: The user's code raised.
    """
    allowlist = Allowlist(trust, allow_download, allow_write)
    folder = SessionFolder(path)
    processes = processes or Processes()
    while True:
        chosen = folder.verified(checkpoint)
        try:
            if only is not None:
                return _partly(folder, chosen, device, settings, allowlist, only)
            lacks_block = processes.size > 1 and chosen.spec.distributed is None
            given = ["distributed={}", *settings] if lacks_block else settings
            return _loaded(folder, chosen, device, given, allowlist, accept_changes, processes)
        except FileNotFoundError:
            # Where somebody trains the session, a state that was chosen may be taken away.
            if folder.storage.has(chosen.name):
                raise
        except Unusable as error:
            folder.checkpoints.pass_over(chosen, error)


def _partly(
    folder: SessionFolder,
    checkpoint: Checkpoint,
    device: str | None,
    settings: Sequence[str],
    allowlist: Allowlist,
    groups: Sequence[str],
) -> Session:
    _expect_groups(groups)
    diagnostics = folder.read_spec(checkpoint, settings)
    spec = spec_of(diagnostics, lambda spec: (), scored=False)
    keys = [] if spec is None else _keys_of(spec, groups)
    wanted = [] if spec is None else needed_for(spec, keys)
    spec = surveyed(spec, diagnostics, allowlist, wanted)
    fitted = folder.fitted(checkpoint)
    stored = stored_definitions(checkpoint, spec, fitted)
    plan = BuildPlan(
        spec, diagnostics.place_of, fitted, allowlist, device, stored, keys, (), with_data=False
    )
    session = Session(folder, plan, code_of(spec, allowlist, wanted))
    session.restore_results(checkpoint)
    session.know_weights(checkpoint)
    for name, average in session.averages.items():
        if average.is_stale:
            tell_stale_statistics(name, shown_path(folder.path))
    return session


def _expect_groups(groups: Sequence[str]) -> None:
    known = [name for name, group in GROUPS.items() if group.state != "training"]
    for name in groups:
        if name not in known:
            raise ConfigError(f'"only" cannot be "{name}"{near(name, known)}')


def _keys_of(spec: Spec, groups: Sequence[str]) -> list[Key]:
    definitions = spec.initialize.definitions
    return [Key(one.group, one.name) for one in definitions if one.group in groups]


def _loaded(
    folder: SessionFolder,
    checkpoint: Checkpoint,
    device: str | None,
    settings: Sequence[str],
    allowlist: Allowlist,
    accepted: bool,
    processes: Processes,
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
    distributed = spec.distributed
    is_shared = processes.size > 1 and distributed is not None and distributed.shares_models
    plan = BuildPlan(
        spec,
        diagnostics.place_of,
        fitted,
        allowlist,
        device,
        stored,
        shares_models=is_shared,
        processes=processes,
    )
    session = Session(folder, plan, code, [*changed, *of_code])
    regrouping = Regrouping(changed, before, session.builder)
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
    session.know_weights(checkpoint)
    folder.warn_of_damage(checkpoint, session.logs)
    regrouping.apply()
    apply_changes.apply(changed, session.builder, session.rows, session.progress)
    return session
