"""A session made from another one: another config, the same splits and fitted preprocessors."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torchassistant.assembly import FittedArtifacts
from torchassistant.config import GROUPS, Key, read, spec_of
from torchassistant.errors import shown_path
from torchassistant.session.building.build_plan import BuildPlan
from torchassistant.session.building.survey import surveyed
from torchassistant.session.files.durable_files import new_folder
from torchassistant.session.folder.session_folder import SessionFolder
from torchassistant.session.session import Session


def derived_session(session: Session, config: Mapping[str, Any], path: Path) -> Session:
    """Build a session whose data is split and prepared as that of another one.

    Its models read no files of weights: who asks for it puts theirs in.

    Args:
        session: The other one.
        config: The whole config, as ``spec.json`` has it.
        path: The folder that it is for; nothing is written there.

    Raises:
        ConfigError: With every problem of the config.
        UserCodeError: The user's code raised.
    """
    allowlist = session.builder.maker.allowlist
    config = {**copy.deepcopy(dict(config)), "session_dir": shown_path(path)}
    for one in config["initialize"]["definitions"]:
        if one["group"] == "optimizers":
            one["spec"].pop("state", None)  # from another session, of models as they were
    diagnostics = read(config, variables=False)
    spec = surveyed(spec_of(diagnostics), diagnostics, allowlist)
    known = session.builder.fitted
    names = {(one.group, one.name) for one in spec.initialize.definitions}
    fitted = FittedArtifacts(
        {name: split for name, split in known.splits.items() if ("splits", name) in names},
        preprocessors=dict(known.preprocessors),
    )
    stored = {
        Key(one.group, one.name)
        for one in spec.initialize.definitions
        if one.group == "models" and GROUPS["models"].held(one.spec)
    }
    plan = BuildPlan(spec, diagnostics.place_of, fitted, allowlist, stored=stored)
    return Session(SessionFolder(path), plan)


def store_derived(session: Session, is_finished: bool, replaces: bool = False) -> None:
    """Write a new session, whole or not at all.

    Args:
        session: Its weights are in place.
        is_finished: Whether nothing is left to train.
        replaces: Whether there is one already, which it replaces.

    Raises:
        SessionError: Its state cannot be stored.
        OSError: It could not be written.
    """
    if is_finished:
        session.progress.stage = len(session.spec.train.stages)
    with new_folder(session.path, replaces) as aside:
        session.write_new(SessionFolder(aside))
