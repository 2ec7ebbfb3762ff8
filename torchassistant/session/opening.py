"""From a checked spec to a session whose parts are built."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from torchassistant.build import Builder, Statics, Trust
from torchassistant.build.devices import Devices
from torchassistant.build.objects import PlaceOf
from torchassistant.config import Spec
from torchassistant.config.references import Key
from torchassistant.errors import SessionError, shown_path
from torchassistant.session.session import Session
from torchassistant.training import Precision
from torchassistant.training.uncompiled import leave_compiler_out


def open_session(
    path: Path,
    spec: Spec,
    place_of: PlaceOf,
    statics: Statics,
    trust: Trust,
    device: str | None = None,
    wanted: Collection[Key] | None = None,
    stored: Collection[Key] = (),
    dry: bool = False,
) -> Session:
    """A session with its definitions built; pipelines and stages are the caller's to build.

    Args:
        path: The session folder.
        spec: The config, checked; its seed is known.
        place_of: Where things stand in the user's files.
        statics: What was decided when the session was created; filled where it is empty.
        trust: Decides what may be imported.
        device: One device for everything, whatever the config says.
        wanted: The definitions that are built, with what they need; None is all.
        stored: The definitions whose state is put back afterwards.
        dry: Whether nothing may be fetched, nor written.
    """
    if spec.seed is None:
        raise SessionError(f"{shown_path(path)} has no seed in its spec.json")
    devices = Devices(spec, place_of, device)
    Precision(spec.precision, devices.base).set_for_process()
    leave_compiler_out()
    session = Session(path, spec, spec.seed, devices.base)
    builder = Builder(spec, session, devices, statics, place_of, trust, stored, dry)
    builder.build(wanted)
    session.builder = builder
    return session
