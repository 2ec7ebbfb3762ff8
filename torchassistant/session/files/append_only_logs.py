"""Files of a session that are only added to: the history, its data, and what was changed.

What counts is in memory, but for the tensors of rows, which may be large: those are read from the
disk when somebody asks for them, and compared with what was written. A checkpoint holds the length
and the SHA-256 of each file, so that a save writes what is new and no more, however long the file
has become; each file stands in the session twice, and where one of the two is not as a checkpoint
says, it is made again from the other.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torchassistant.errors import SessionError, shown_path
from torchassistant.files import InvalidFile, open_regular
from torchassistant.messages import logger_for
from torchassistant.session.files.durable_files import (
    continue_file,
    refuse_links,
    sync_file,
    what_is_wrong,
)
from torchassistant.session.files.manifest import Damaged, Fingerprints, Manifest

_log = logger_for(__name__)

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
    names = (TIMES, PICTURES, SAMPLES, CHANGES)
    return name in names or is_of_row(name) or stage_of(name) is not None


def is_of_row(name: str) -> bool:
    """Whether a file holds the tensors of one row: it is written once, and never added to."""
    return _OF_ROW.fullmatch(name) is not None


def stage_of(name: str) -> int | None:
    """The index of the stage whose rows a file holds; None for other files."""
    found = _OF_STAGE.fullmatch(name)
    return None if found is None else int(found[1])


def texts_of(session: Path, manifest: Manifest) -> Mapping[str, bytes]:
    """What the files held when a checkpoint was written, by their names.

    The tensors of a row are read when they are asked for: only then is said that they are lost.

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
    return _StoredTexts(session, manifest.logs)


class _StoredTexts(Mapping[str, bytes]):
    """What files held, of which those of rows are not kept in memory."""

    def __init__(self, session: Path, marks: Fingerprints) -> None:
        self._session = session
        self._marks = marks
        self._held = {
            name: _text_of(session, name, mark)
            for name, mark in marks.items()
            if not is_of_row(name)
        }

    def __getitem__(self, name: str) -> bytes:
        held = self._held.get(name)
        return _text_of(self._session, name, self._marks[name]) if held is None else held

    def __iter__(self) -> Iterator[str]:
        return iter(self._marks)

    def __len__(self) -> int:
        return len(self._marks)


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

    The tensors of a row are held until they are written.

    Args:
        session: The session folder.
        texts: What they hold, by their names below it: ``metrics/0.csv``, ``changes.jsonl``.
    """

    def __init__(self, session: Path, texts: Mapping[str, bytes] | None = None) -> None:
        self.session = session
        self._held: dict[str, bytearray] = {}
        self._sizes: dict[str, int] = {}
        self._digests: dict[str, Any] = {}
        self._written: dict[Path, int] = {}
        self._synced: set[Path] = set()
        for name, text in (texts or {}).items():
            self.add(name, text)
            self._release(name)

    def text(self, name: str) -> bytes:
        """What one holds; nothing where there is none.

        Raises:
            SessionError: It was written, and has been damaged or taken away since.
        """
        return bytes(self._content(name)) if name in self._sizes else b""

    def _content(self, name: str) -> bytes | bytearray:
        """The same, not copied where it is held."""
        held = self._held.get(name)
        if held is not None:
            return held
        try:
            return _text_of(self.session, name, self._mark(name, self._sizes[name]))
        except Damaged as error:
            raise SessionError(f"{shown_path(self.session)}: {error}") from None

    def add(self, name: str, data: bytes) -> None:
        """Add to one, which begins here where there is none."""
        if name not in self._sizes:
            self._held[name], self._digests[name] = bytearray(), hashlib.sha256()
            self._sizes[name] = 0
        self._held[name] += data
        self._digests[name].update(data)
        self._sizes[name] += len(data)

    def _release(self, name: str) -> None:
        """Hold the tensors of a row no longer, as they are written."""
        if is_of_row(name):
            self._held.pop(name, None)

    def __contains__(self, name: str) -> bool:
        """Whether there is anything in one."""
        return self._sizes.get(name, 0) > 0

    def marks(self) -> dict[str, dict[str, Any]]:
        """The length and the SHA-256 of each, as they are now, by name."""
        return {name: self._mark(name, size) for name, size in list(self._sizes.items())}

    def _mark(self, name: str, size: int) -> dict[str, Any]:
        return {"size": size, "sha256": self._digests[name].hexdigest()}

    def write(self, marks: Fingerprints, save: bool) -> Fingerprints:
        """Bring the files to where they were; another thread may add to them meanwhile.

        Args:
            marks: What :meth:`marks` gave.
            save: Whether to write the copies too, and to wait until all of it is on the disk.

        Returns:
            The marks, without those of tensors of which somebody took away both the file and the
            copy; nobody asks for them any more.

        Raises:
            OSError: A file could not be written; the next time it is.
            SessionError: A link stands in the place of one.
        """
        there = {name: mark for name, mark in marks.items() if name in self._sizes}
        for name, mark in list(there.items()):
            places = _places(self.session, name)[: 2 if save or is_of_row(name) else 1]
            found = [self._found(path) for path in places]
            try:
                for path, standing in zip(places, found, strict=True):
                    self._write(path, standing, name, mark["size"], save)
                self._release(name)
            except SessionError as error:
                _log.warning(f"{error}; that row has no tensors any more")
                del there[name], self._sizes[name]
        return there

    def _write(
        self, path: Path, found: os.stat_result | None, name: str, size: int, sync: bool
    ) -> None:
        done = self._written.get(path, 0)
        if done and not (found is not None and _is_whole(found, done)):
            done = 0  # somebody has cut it off, taken it away, or linked it
        if done < size or found is None:
            # Read before anything is taken away: the other of the two may be damaged.
            content = self._content(name)
            if found is not None and _has_other_names(found):
                path.unlink()
            continue_file(path, done, bytes(content[done:size]), sync or name not in self._held)
            self._written[path] = size
        if sync and (done == size or path not in self._synced):
            sync_file(path)
            self._synced.add(path)

    def _found(self, path: Path) -> os.stat_result | None:
        """What stands in the place of a file, if anything.

        Raises:
            SessionError: A link.
        """
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            return None
        if stat.S_ISLNK(found.st_mode):
            refuse_links(self.session, (METRICS, COPIES, CHANGES))
        return found

    def repair(self) -> None:
        """Make the files what counts: cut off, written again, taken away.

        Raises:
            OSError: A file could not be written.
            SessionError: A link or a folder stands in the place of one; or the tensors of a row
                are lost.
        """
        refuse_links(self.session, (METRICS, COPIES, CHANGES))
        self._written.clear()
        self._synced.clear()
        for folder in (METRICS, COPIES):
            (self.session / folder).mkdir(exist_ok=True)
        for path in self._strange():
            path.unlink()
        for name in self._sizes:
            text = self._content(name)
            for path in _places(self.session, name):
                if path.is_dir():
                    raise SessionError(f"{shown_path(path)} is a folder, and no regular file")
                if path.exists() and not path.is_file():
                    path.unlink()
                if path.exists() and _has_other_names(path.stat()):
                    path.unlink()
                if _wrong_with(path, text) is not None:
                    continue_file(path, 0, bytes(text), sync=True)
                elif path.stat().st_size > len(text):
                    continue_file(path, len(text), b"", sync=True)
                self._written[path] = len(text)
            self._release(name)

    def _strange(self) -> Iterator[Path]:
        """Files of this kind that do not belong to the state at hand."""
        known = {path for name in self._sizes for path in _places(self.session, name)}
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
        """A sentence for each file that lacks something of what counts.

        Args:
            with_copies: Whether the copies count; earlier versions made none.

        Raises:
            SessionError: The tensors of a row are lost.
        """
        found = []
        for name in self._sizes:
            text = self._content(name)
            for path in _places(self.session, name)[: 2 if with_copies else 1]:
                if not text and not path.exists():
                    continue
                wrong = _wrong_with(path, text)
                if wrong is not None:
                    found.append(f"{shown_path(path)} {wrong}; the checkpoint is authoritative")
        return found


def _has_other_names(found: os.stat_result) -> bool:
    """Whether a file is known under another name too: then it is not to be written to.

    A backup may have been made of links, or a stranger have made one.
    """
    return stat.S_ISREG(found.st_mode) and found.st_nlink > 1


def _is_whole(found: os.stat_result, size: int) -> bool:
    """Whether a file may be added to, that had so many bytes."""
    is_regular = stat.S_ISREG(found.st_mode)
    return is_regular and found.st_size >= size and not _has_other_names(found)


def _wrong_with(path: Path, text: bytes | bytearray) -> str | None:
    """What keeps a file from beginning with a text; None where it does."""
    try:
        with open_regular(path) as file:
            return None if file.read(len(text)) == text else "is not as it was written"
    except (OSError, InvalidFile) as error:
        return what_is_wrong(error)
