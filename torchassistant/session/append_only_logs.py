"""Files of a session that are only added to: the history, its data, and what was changed.

What counts is in memory. A checkpoint holds the length and the SHA-256 of each file, so that a save
writes what is new and no more, however long the file has become; each file stands in the session
twice, and where one of the two is not as a checkpoint says, it is made again from the other.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torchassistant.errors import SessionError, shown_path
from torchassistant.files import InvalidFile, open_regular
from torchassistant.session.durable_files import (
    continue_file,
    refuse_links,
    sync_file,
    what_is_wrong,
)
from torchassistant.session.manifest import Damaged, Manifest

METRICS, COPIES, CHANGES = "metrics", "history", "changes.jsonl"
STEPS = "steps-"
TIMES = f"{METRICS}/times.csv"
PICTURES = f"{METRICS}/pictures.jsonl"
SAMPLES = f"{METRICS}/samples.jsonl"

_NUMBER = r"(?:0|[1-9]\d*)"
_OF_STAGE = re.compile(rf"{METRICS}/(?:{STEPS})?({_NUMBER})\.csv", re.ASCII)
_OF_ROW = re.compile(rf"{METRICS}/{_NUMBER}-{_NUMBER}\.safetensors", re.ASCII)

_LONGEST = 1 << 30
"""Bytes that are read of one: rows of a million epochs have fewer."""


def is_log(name: str) -> bool:
    """Whether a file of a session, by its path below it, is one of these."""
    is_of_row = _OF_ROW.fullmatch(name) is not None
    return name in (TIMES, PICTURES, SAMPLES, CHANGES) or is_of_row or stage_of(name) is not None


def stage_of(name: str) -> int | None:
    """The index of the stage whose rows a file holds; None for other files."""
    found = _OF_STAGE.fullmatch(name)
    return None if found is None else int(found[1])


def texts_of(session: Path, manifest: Manifest) -> dict[str, bytes]:
    """What the files held when a checkpoint was written, by their names.

    Args:
        session: The session folder.
        manifest: That of the checkpoint.

    Raises:
        Damaged: Of one, neither the file nor its copy has what it held; or the manifest is none.
    """
    if not manifest.has_logs:
        return {name: manifest.text(name) for name in manifest.session if is_log(name)}
    wrong = [name for name in manifest.logs if not is_log(name)]
    if wrong:
        raise Damaged(f"its manifest has a history of the name {wrong[0]!r}")
    return {name: _text_of(session, name, mark) for name, mark in manifest.logs.items()}


def _text_of(session: Path, name: str, mark: Mapping[str, Any]) -> bytes:
    found = {}
    for path in _places(session, name):
        try:
            return _beginning(path, mark)
        except (OSError, InvalidFile) as error:
            found[path] = what_is_wrong(error)
    reasons = ", and ".join(f"{path.relative_to(session)} {how}" for path, how in found.items())
    raise Damaged(f"its history is lost: {reasons}")


def _beginning(path: Path, mark: Mapping[str, Any]) -> bytes:
    """The part of a file that a mark is about; what follows was written later.

    Raises:
        FileNotFoundError: There is no such file.
        InvalidFile: It has something else there.
    """
    size = int(mark["size"])
    if size > _LONGEST:
        raise InvalidFile(f"would have {size} bytes, and {_LONGEST} are read at most")
    with open_regular(path) as file:
        text = file.read(size)
    if len(text) < size:
        raise InvalidFile(f"has {len(text)} bytes instead of {size}")
    if hashlib.sha256(text).hexdigest() != mark["sha256"]:
        raise InvalidFile("is not what was written (its SHA-256 differs)")
    return text


def _places(session: Path, name: str) -> tuple[Path, Path]:
    """Where a file stands, and where its copy does."""
    return session / name, session / COPIES / Path(name).name


class Logs:
    """The files of one session.

    Args:
        session: The session folder.
        texts: What they hold, by their names below it: ``metrics/0.csv``, ``changes.jsonl``.
    """

    def __init__(self, session: Path, texts: Mapping[str, bytes] | None = None) -> None:
        self.session = session
        self._texts: dict[str, bytearray] = {}
        self._digests: dict[str, Any] = {}
        self._written: dict[Path, int] = {}
        self._synced: set[Path] = set()
        for name, text in (texts or {}).items():
            self.add(name, text)

    def text(self, name: str) -> bytes:
        """What one holds; nothing where there is none."""
        return bytes(self._texts.get(name, b""))

    def add(self, name: str, data: bytes) -> None:
        """Add to one, which begins here where there is none."""
        if name not in self._texts:
            self._texts[name], self._digests[name] = bytearray(), hashlib.sha256()
        self._texts[name] += data
        self._digests[name].update(data)

    def __contains__(self, name: str) -> bool:
        """Whether there is anything in one."""
        return bool(self._texts.get(name))

    def marks(self) -> dict[str, dict[str, Any]]:
        """The length and the SHA-256 of each, as they are now, by name."""
        return {
            name: {"size": len(text), "sha256": self._digests[name].hexdigest()}
            for name, text in self._texts.items()
        }

    def write(self, marks: Mapping[str, Mapping[str, Any]], save: bool) -> None:
        """Bring the files to where they were; another thread may add to them meanwhile.

        Args:
            marks: What :meth:`marks` gave.
            save: Whether to write the copies too, and to wait until all of it is on the disk.

        Raises:
            OSError: A file could not be written; the next time it is.
            SessionError: A link stands in the place of one.
        """
        refuse_links(self.session, (METRICS, COPIES, CHANGES))
        for name, mark in marks.items():
            for path in _places(self.session, name)[: 2 if save else 1]:
                self._write(path, self._texts[name], mark["size"], save)

    def _write(self, path: Path, text: bytearray, size: int, sync: bool) -> None:
        _part_from_others(path)
        done = self._written.get(path, 0)
        if done and not (path.is_file() and path.stat().st_size >= done):
            done = 0  # somebody has cut it off, or taken it away
        if done < size or not path.exists():
            continue_file(path, done, bytes(text[done:size]), sync)
            self._written[path] = size
        if sync and (done == size or path not in self._synced):
            sync_file(path)
            self._synced.add(path)

    def repair(self) -> None:
        """Make the files what is in memory: cut off, written again, taken away.

        Raises:
            OSError: A file could not be written.
            SessionError: A link or a folder stands in the place of one.
        """
        refuse_links(self.session, (METRICS, COPIES, CHANGES))
        self._written.clear()
        self._synced.clear()
        for folder in (METRICS, COPIES):
            (self.session / folder).mkdir(exist_ok=True)
        for path in self._strange():
            path.unlink()
        for name, text in self._texts.items():
            for path in _places(self.session, name):
                if path.is_dir():
                    raise SessionError(f"{shown_path(path)} is a folder, and no regular file")
                if path.exists() and not path.is_file():
                    path.unlink()
                _part_from_others(path)
                if _wrong_with(path, text) is not None:
                    continue_file(path, 0, bytes(text), sync=True)
                elif path.stat().st_size > len(text):
                    continue_file(path, len(text), b"", sync=True)
                self._written[path] = len(text)

    def _strange(self) -> Iterator[Path]:
        """Files of this kind that do not belong to the state at hand."""
        known = {path for name in self._texts for path in _places(self.session, name)}
        stages = [
            path
            for folder in (METRICS, COPIES)
            for path in (self.session / folder).iterdir()
            if is_log(f"{METRICS}/{path.name}") and not path.is_dir()
        ]
        for path in (*stages, *_places(self.session, CHANGES)):
            if path not in known and path.is_file():
                yield path

    def damage(self, with_copies: bool = True) -> list[str]:
        """A sentence for each file that lacks something of what is in memory.

        Args:
            with_copies: Whether the copies count; earlier versions made none.
        """
        found = []
        for name, text in self._texts.items():
            for path in _places(self.session, name)[: 2 if with_copies else 1]:
                if not text and not path.exists():
                    continue
                wrong = _wrong_with(path, text)
                if wrong is not None:
                    found.append(f"{shown_path(path)} {wrong}; the checkpoint is authoritative")
        return found


def _part_from_others(path: Path) -> None:
    """Take a file away that is known under another name too, which is not to be written to.

    A backup may have been made of links, or a stranger have made one.
    """
    if path.is_file() and path.stat().st_nlink > 1:
        path.unlink()


def _wrong_with(path: Path, text: bytearray) -> str | None:
    """What keeps a file from beginning with a text; None where it does."""
    try:
        with open_regular(path) as file:
            return None if file.read(len(text)) == text else "is not as it was written"
    except (OSError, InvalidFile) as error:
        return what_is_wrong(error)
