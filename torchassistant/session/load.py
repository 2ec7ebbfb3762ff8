"""A session folder becomes a session that can go on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torchassistant.build import Trust, build_pipelines, build_stages
from torchassistant.config import spec_of
from torchassistant.session import changes
from torchassistant.session.checking import checked
from torchassistant.session.folder import SessionFolder
from torchassistant.session.opening import open_session
from torchassistant.session.session import Session


def load_session(
    path: str | Path,
    device: str | None = None,
    *,
    settings: Sequence[str] = (),
    trust: Sequence[str] = (),
) -> Session:
    """Load a session as its newest sound checkpoint holds it.

    Args:
        path: The session folder.
        device: One device for everything, whatever the config says.
        settings: What is to be changed in its config from now on, each as ``PATH=VALUE``; the
            folder keeps the config that it has.
        trust: Modules that the config may name, beyond those that any config may.

    Raises:
        ConfigError: With every problem of the config, and every change that is too late.
        SessionError: There is no session, or no sound checkpoint.
        UserCodeError: The user's code raised.
    """
    trusted = Trust(trust)
    folder = SessionFolder(path)
    findings = folder.read_spec(settings)
    spec = checked(findings, trusted)
    changed = []
    if settings:
        before = spec_of(folder.read_spec())
        assert before is not None, "with the settings it could be read"
        changed = changes.judge(before, spec, findings)
        findings.raise_if_any()
    session = open_session(folder.path, spec, findings.place_of, folder.statics(), trusted, device)
    build_pipelines(session.builder)
    build_stages(session.builder)
    session.restore()
    changes.apply(changed, session)
    return session
