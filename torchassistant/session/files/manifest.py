"""The manifest of a checkpoint: size and SHA-256 of every file; written last, it says all is there.

It covers itself: a digest of all that it says stands in it, and it is read only in the very form
in which it is written.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torchassistant.errors import SessionError, shown_path
from torchassistant.files import InvalidFile, parsed_json, read_regular
from torchassistant.session.files.durable_files import as_json, differing, fingerprint_of, write_new

MANIFEST = "manifest.json"
_MOST = 2**28
"""Bytes of a manifest; those of earlier versions hold the whole history."""

FORMAT = 5
"""Of the session folder, as it was when the state was saved. 2: state stood under sentences, as
``the scheduler of "adam"``; 3: it stands under ids, as ``schedulers/adam``, and each manifest held
the whole history; 4: it holds the length and the digest of it; 5: rows of tensors that processes
share stand in ``parts``. Where there are none, 4 is written, which earlier versions read too."""

WITHOUT_PARTS = 4

READ = (2, 3, 4, 5)
"""The formats that can be read."""

_LOGS_SINCE = 4

Fingerprints = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What belongs to a state.

    Args:
        files: The fingerprint of each file of the checkpoint, by path below it.
        session: Those of the files of the session as they were then, by path below it; with the
            ``text`` of those that may be replaced, and before format 4 of those in ``logs`` too.
        scores: The row of the history that the state was saved with; empty within an epoch.
        format: In which form all of it was written.
        logs: The fingerprints of what the files of the session that are only added to held then.
    """

    files: Fingerprints
    session: Fingerprints
    scores: Mapping[str, float] = field(default_factory=dict)
    format: int = WITHOUT_PARTS
    logs: Fingerprints = field(default_factory=dict)

    def text(self, name: str) -> bytes:
        """What a file of the session held; nothing where there was none.

        Raises:
            Damaged: The manifest does not say what it held.
        """
        entry = self.session.get(name, {"text": ""})
        if "text" not in entry:
            raise Damaged(f"{MANIFEST} has no text of {name}")
        return str(entry["text"]).encode()

    @property
    def has_logs(self) -> bool:
        """Whether it has ``logs``, and no longer the text of those files."""
        return self.format >= _LOGS_SINCE

    @property
    def fixed(self) -> Fingerprints:
        """The fingerprints of the files of the session that never change."""
        return {name: found for name, found in self.session.items() if "text" not in found}

    def data(self) -> dict[str, Any]:
        """As it stands in the file."""
        data = {
            "format": self.format,
            "files": dict(self.files),
            "session": dict(self.session),
            **({"logs": dict(self.logs)} if self.has_logs else {}),
            "scores": dict(self.scores),
        }
        digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
        return {**data, "sha256": digest}


def of_text(data: bytes) -> dict[str, Any]:
    """The fingerprint of a file that may be replaced, which holds this now."""
    return {**fingerprint_of(data), "text": data.decode()}


class Damaged(Exception):
    """A checkpoint is not as it was written; the message says what is wrong."""


class LaterFormat(SessionError):
    """A later version of this program has written a checkpoint."""


def write_manifest(
    folder: Path,
    files: Fingerprints,
    session: Fingerprints,
    scores: Mapping[str, float] | None = None,
    logs: Fingerprints | None = None,
) -> None:
    """Write the manifest of a folder that holds all its files.

    Args:
        folder: The folder, aside.
        files: The fingerprint of each of its files, by path; nobody looks for them, as one might be
            overlooked.
        session: The fingerprints of the files of the session.
        scores: The row of the history, if there is one; finite.
        logs: The fingerprints of what the files that are only added to hold by now.
    """
    written = FORMAT if any(name.startswith("parts/") for name in files) else WITHOUT_PARTS
    manifest = Manifest(files, session, scores or {}, written, logs or {})
    write_new(folder / MANIFEST, as_json(manifest.data()))


def verified_manifest(folder: Path) -> Manifest:
    """The manifest of a folder in which every file is as written.

    Raises:
        Damaged: One is not.
        LaterFormat: It cannot be said.
    """
    manifest = read_manifest(folder)
    for name, wrong in differing(folder, manifest.files):
        raise Damaged(f"{name} {wrong}")
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder, if it is itself as it was written.

    Raises:
        Damaged: It is not.
        LaterFormat: It cannot be said.
        OSError: It cannot be read.
    """
    try:
        raw = read_regular(folder / MANIFEST, _MOST)
        data = parsed_json(raw)
        written = data.get("format")
        if type(written) is int and written > FORMAT:
            if _was_of_this_format(data):
                raise Damaged(f"{MANIFEST} is not what was written (its format differs)")
            raise LaterFormat(
                f"{shown_path(folder)} has the format {written}, which a later version of "
                f"TorchAssistant writes; this one reads formats up to {FORMAT}: update it "
                "(pip install --upgrade torchassistant)"
            )
        if type(written) is not int or written not in READ:
            raise Damaged(f"{MANIFEST} has the format {written!r}, and not one of {READ}")
        logs = data["logs"] if written >= _LOGS_SINCE else {}
        manifest = Manifest(data["files"], data["session"], data["scores"], written, logs)
        is_whole = as_json(manifest.data()) == raw
    except (FileNotFoundError, NotADirectoryError):
        raise Damaged(f"{MANIFEST} is missing") from None
    except InvalidFile as error:
        raise Damaged(f"{MANIFEST} {error}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"{MANIFEST} cannot be read ({error})") from None
    if not is_whole:
        raise Damaged(f"{MANIFEST} is not what was written (its digest differs)")
    _expect_form(manifest)
    return manifest


def _expect_form(manifest: Manifest) -> None:
    """See that it says what a manifest says: whoever writes one can make up all of it.

    Raises:
        Damaged: It does not.
    """
    for name, entry in {**manifest.files, **manifest.session, **manifest.logs}.items():
        if not _is_below(name):
            raise Damaged(f"{MANIFEST} names {name!r}, which is not a file below a folder")
        if not (isinstance(entry, dict) and _is_fingerprint(entry)):
            raise Damaged(f"{MANIFEST} has no fingerprint of {name}")
    if not all(type(v) in (int, float) and abs(v) <= _LARGEST for v in manifest.scores.values()):
        raise Damaged(f"{MANIFEST} has scores that are not numbers")


_LARGEST = 1.8e308


def _is_below(name: str) -> bool:
    """Whether a name is that of a file below a folder, on every system."""
    return all(
        part not in ("", ".", "..")
        and not any(c < " " or c in "\\:\x7f" for c in part)
        and len(part.encode()) <= 255
        for part in name.split("/")
    )


def _is_fingerprint(entry: Mapping[str, Any]) -> bool:
    size, digest = entry.get("size"), entry.get("sha256")
    return (
        type(size) is int
        and 0 <= size < 2**63
        and isinstance(digest, str)
        and re.fullmatch("[0-9a-f]{64}", digest) is not None
        and isinstance(entry.get("text", ""), str)
    )


def _was_of_this_format(data: Mapping[str, Any]) -> bool:
    """Whether a manifest is as this version wrote it, but for the number of its format."""
    try:
        parts = data["files"], data["session"], data["scores"]
        then = [Manifest(*parts, known, data["logs"]) for known in (WITHOUT_PARTS, FORMAT)]
        return any(one.data()["sha256"] == data["sha256"] for one in then)
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
