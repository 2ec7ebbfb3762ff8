"""From a checked spec to a session whose parts are built."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from torchassistant.build import Builder, Statics
from torchassistant.build.devices import Devices
from torchassistant.config import Spec
from torchassistant.config.references import Key
from torchassistant.config.tree import place_of
from torchassistant.errors import SessionError
from torchassistant.session.session import Session

Wanted = Callable[[Builder], Iterable[Key]]


def open_session(
    path: Path,
    spec: Spec,
    tree: Any,
    statics: Statics,
    device: str | None = None,
    wanted: Wanted | None = None,
) -> Session:
    """A session with its definitions built; pipelines and stages are the caller's to build.

    Args:
        path: The session folder.
        spec: The config, checked; its seed is known.
        tree: What the spec was read from, for the places of problems.
        statics: What was decided when the session was created; filled where it is empty.
        device: One device for everything, whatever the config says.
        wanted: Chooses the definitions that are built, with what they need; None is all.
    """
    if spec.seed is None:
        raise SessionError(f"{path} has no seed in its spec.json")
    devices = Devices(spec, device)
    session = Session(path, spec, spec.seed, devices.base)
    builder = Builder(spec, session, devices, statics, lambda at: place_of(tree, at))
    builder.build(None if wanted is None else wanted(builder))
    session.builder = builder
    return session
