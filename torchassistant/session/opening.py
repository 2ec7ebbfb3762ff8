"""From a checked spec to a session whose parts are built."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from torchassistant.assembly import Allowlist, Builder, FittedArtifacts
from torchassistant.assembly.devices import Devices
from torchassistant.assembly.object_maker import PlaceOf
from torchassistant.compat.compiler import leave_compiler_out
from torchassistant.config import Spec
from torchassistant.config.references import Key
from torchassistant.errors import SessionError, shown_path
from torchassistant.session.session import Session
from torchassistant.training import Precision


def open_session(
    path: Path,
    spec: Spec,
    place_of: PlaceOf,
    fitted: FittedArtifacts,
    allowlist: Allowlist,
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
        fitted: What was decided when the session was created; filled where it is empty.
        allowlist: Decides what may be imported.
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
    builder = Builder(spec, session, devices, fitted, place_of, allowlist, stored, dry)
    builder.build(wanted)
    session.builder = builder
    return session
