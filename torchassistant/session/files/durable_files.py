"""All writing of a session: aside first, then synced, then renamed into place.

A folder appears under its name when all of it is on the disk, or not at all; the same goes for a
file that is replaced. No link is followed.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save

from torchassistant.config import size_text
from torchassistant.errors import Interrupted, SessionError, shown_path
from torchassistant.files import (
    InvalidFile,
    holes_of,
    open_regular,
    parsed_json,
    read_regular,
    regular_handle,
)
from torchassistant.whole_files import (
    ASIDE,
    make_folder,
    naming,
    replacing,
    save_tensors,
    storable,
    sync_path,
)

MOST_JSON = 2**30
"""Bytes of a JSON file of a session: large states are tensors."""
MOST_HOLES = 32 * 2**30
"""Bytes of files that may be holes, which read as zeros: a state of a session was in memory as a
whole, and hardly any of it is zeros. A sparse terabyte would be read for hours."""


def expect_text(path: Path, of: str) -> None:
    """See that a path is text, as the library of safetensors opens no other.

    Args:
        path: The path.
        of: What it is of, for the message.

    Raises:
        SessionError: It is none.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        message = f"{path}: the path of {of} has to be UTF-8 text"
        with contextlib.suppress(UnicodeDecodeError):
            # It is, and Python takes it for something else, by the locale.
            os.fsencode(path).decode()
            message += ", and this is none by the locale; with PYTHONUTF8=1 it is"
        raise SessionError(message) from None


@contextmanager
def new_folder(path: Path, replaces: bool = False, makes_parents: bool = True) -> Iterator[Path]:
    """A folder that appears under its name when it is whole, or not at all.

    Args:
        path: Its name; an empty folder of that name is replaced.
        makes_parents: Whether the folders around it are made where they are missing.
        replaces: Whether there is a whole folder of that name, which stays until the new one is
            whole, and is then removed.

    Yields:
        The folder aside, to write into.

    Raises:
        NotWritten: It could not be written; or there is such a folder, and it is not empty.
    """
    with naming(path), _folders_around(path if makes_parents else None) as made:
        aside = Path(tempfile.mkdtemp(prefix=f"{ASIDE}{path.name}-", dir=path.parent))
        is_whole = False
        try:
            aside.chmod(0o755)
            yield aside
            _sync_all(os.fspath(aside))
            if replaces:
                _exchange(aside, path)
            else:
                aside.rename(path)
            is_whole = True
            for parent in [path.parent, *(p.parent for p in made)]:
                sync_path(parent)
            if replaces:
                shutil.rmtree(aside, ignore_errors=True)
        except BaseException as error:
            shutil.rmtree(aside, ignore_errors=True)
            if is_whole and isinstance(error, Interrupted):
                raise Interrupted(error.signum, f"{shown_path(path)} is whole by now") from None
            raise


@contextmanager
def _folders_around(path: Path | None) -> Iterator[list[Path]]:
    """Make the folders in which a path lies, where they are missing, and take them away again where
    nothing comes of it."""
    parents = [] if path is None else [p for p in path.parents if not p.exists()]
    try:
        if parents:
            make_folder(parents[0])
        yield parents
    except BaseException:
        for parent in parents:
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise


def _sync_all(folder: str) -> None:
    """Wait until all that a folder holds is on the disk."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _sync_all(entry.path)
            else:
                sync_path(Path(entry.path))
    sync_path(Path(folder))


def _exchange(one: Path, other: Path) -> None:
    """Give two folders each other's name, in one step where the system can.

    Elsewhere there is a moment at which the name of ``other`` has ``.replaced`` behind it.
    """
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is not None:
        at, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
        if renameat2(at, os.fsencode(one), at, os.fsencode(other), swap) == 0:
            return
        if ctypes.get_errno() not in (errno.ENOSYS, errno.EINVAL):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(other))
    between = other.with_name(f"{other.name}.replaced")
    if between.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(between))
    other.rename(between)
    try:
        one.rename(other)
    except BaseException:
        between.rename(other)
        raise
    between.rename(one)


def remove_folder(path: Path) -> None:
    """Take a folder away: renamed first, so that half of it never stands under its name."""
    aside = path.with_name(f"{ASIDE}{path.name}-gone")
    try:
        path.rename(aside)
    except OSError:
        if not aside.is_dir():
            raise
        # A process died that was about to remove one of this name.
        _remove_all(os.fspath(aside))
        path.rename(aside)
    _remove_all(os.fspath(aside))


def _remove_all(folder: str) -> None:
    """Remove a folder of ours; a checkpoint is removed whenever one is saved, and this is short."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _remove_all(entry.path)
            else:
                os.unlink(entry.path)
    os.rmdir(folder)


def clear_aside(folder: Path) -> None:
    """Remove what an earlier process left aside when it died."""
    for path in folder.glob(f"{ASIDE}*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def write_new(path: Path, data: bytes) -> dict[str, Any]:
    """Write a new file in a folder that is aside; gives its fingerprint.

    Raises:
        OSError: It could not be written, or there is one.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    handle = os.open(path, flags, 0o644)
    try:
        _write_all(handle, data)
    finally:
        os.close(handle)
    return fingerprint_of(data)


def _write_all(handle: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]


def replace_file(path: Path, data: bytes) -> None:
    """Replace a file by a whole new one.

    Raises:
        NotWritten: It could not be written; then it is as it was.
    """
    with naming(path):
        make_folder(path.parent)
    with replacing(path) as aside:
        aside.write_bytes(data)


def continue_file(path: Path, size: int, data: bytes, sync: bool) -> None:
    """Write on from a position of a file; whatever stands behind it is cut off first.

    Args:
        path: The file; it is made where there is none.
        size: The length of what stands in it already, in bytes.
        data: What follows.
        sync: Whether to wait until it is on the disk.

    Raises:
        OSError: It could not be written; it may hold a part of the data now.
    """
    is_new = False
    try:
        handle = regular_handle(path, os.O_WRONLY)
    except FileNotFoundError:
        is_new = True
        new = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NONBLOCK | os.O_CLOEXEC
        handle = os.open(path, new, 0o644)
    except InvalidFile as error:
        raise OSError(errno.EINVAL, str(error), str(path)) from None
    try:
        os.ftruncate(handle, size)
        os.lseek(handle, size, os.SEEK_SET)
        _write_all(handle, data)
        if sync:
            os.fsync(handle)
    finally:
        os.close(handle)
    if sync and is_new:
        sync_path(path.parent)


def sync_file(path: Path) -> None:
    """Wait until a file, and that it is there, is on the disk."""
    sync_path(path)
    sync_path(path.parent)


def as_json(data: Any) -> bytes:
    """Data as the JSON that files of a session hold."""
    return (json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def as_json_lines(data: Any) -> bytes:
    """Data as JSON with a line for each key: hundreds of numbers, as states have, cost little."""
    if not isinstance(data, dict) or not data:
        return as_json(data)
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
    lines = (f"  {encode(str(key))}: {encode(value)}" for key, value in data.items())
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def read_json(path: Path) -> Any:
    """The data of a JSON file.

    Raises:
        FileNotFoundError: There is none.
        InvalidFile: It is none.
    """
    return parsed_json(read_regular(path, MOST_JSON))


def holds(path: Path, data: bytes) -> bool | None:
    """Whether a file has these bytes and no others; None where it cannot be read."""
    try:
        with open_regular(path) as file:
            return file.read(len(data) + 1) == data
    except (OSError, InvalidFile):
        return None


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Tensors by name as a safetensors file.

    Args:
        path: A new file, in a folder that is aside.
        tensors: On any device; nothing changes them meanwhile.
    """
    make_folder(path.parent)
    # Writes from the tensors' own memory, and lets other threads run meanwhile.
    save_tensors(storable(tensors), path)


def as_safetensors(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """What such a file holds."""
    return save(storable(tensors))


def replace_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Replace a safetensors file by a whole new one."""
    replace_file(path, as_safetensors(tensors))


Take = Callable[[str, torch.Tensor], torch.Tensor]
"""Is given each tensor that is read, with its name, and gives what is kept of it."""


def read_tensors(path: Path, take: Take | None = None) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, in memory as torch allocates it.

    Args:
        path: The file.
        take: Gives what is kept of each, so that they need not all be in memory at once; left out:
            all of it is.

    Raises:
        FileNotFoundError: There is none.
        InvalidFile: It is none, or holds what torch has not.
    """
    if take is not None:
        return read_rows([path], take)
    with _reading_tensors([path]):
        return {name: _aligned(tensor) for name, tensor in load_file(path).items()}


def read_rows(paths: Sequence[Path], take: Take | None = None) -> dict[str, torch.Tensor]:
    """The same of several files, of which each holds further rows of every tensor.

    Raises:
        FileNotFoundError: One is missing.
        InvalidFile: One is none, or does not belong to the others.
    """
    with _reading_tensors(paths), ExitStack() as stack:
        files = [stack.enter_context(safe_open(path, "pt")) for path in paths]
        names = set(files[0].keys())
        if any(set(file.keys()) != names for file in files):
            raise InvalidFile("other tensors in other parts")
        found = {}
        for name in sorted(names):
            rows = [file.get_tensor(name) for file in files]
            tensor = torch.cat(rows) if len(rows) > 1 else _aligned(rows[0])
            found[name] = tensor if take is None else take(name, tensor)
        return found


@contextmanager
def _reading_tensors(paths: Sequence[Path]) -> Iterator[None]:
    for path in paths:
        open_regular(path).close()
    try:
        yield
    except (FileNotFoundError, InvalidFile):
        raise
    except Exception as error:
        raise InvalidFile(f"holds no tensors ({error})") from None


def _aligned(tensor: torch.Tensor) -> torch.Tensor:
    # What stands somewhere in a file is mapped there. The last bits of sums, as those of torch.dot,
    # depend on where memory begins: a resumed run would differ from one that was not interrupted.
    return tensor.clone() if tensor.data_ptr() % _ALIGNMENT else tensor


_ALIGNMENT = 64
"""In bytes, of the memory that torch allocates on the CPU."""


def fingerprint_of(data: bytes) -> dict[str, Any]:
    """Size and SHA-256 of what a file holds."""
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def fingerprint(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"size": os.fstat(file.fileno()).st_size, "sha256": digest}


def differing(folder: Path, expected: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """The files that are not as their fingerprints say, and how; what costs little is asked first.

    Args:
        folder: What they are below.
        expected: The fingerprint of each, by its path.
    """
    holes, right_size = 0, []
    for name, print_ in expected.items():
        try:
            with open_regular(folder / name) as file:
                size = os.fstat(file.fileno()).st_size
                if size != print_["size"]:
                    yield name, f"has {size} bytes instead of {print_['size']}"
                    continue
                holes += holes_of(file)
                if holes > MOST_HOLES:
                    yield name, f"is sparse: {size_text(holes)} are not stored on disk"
                    return
            if name.endswith(".safetensors"):
                _expect_tensors(folder / name)
        except (OSError, InvalidFile) as error:
            yield name, what_is_wrong(error)
        else:
            right_size.append(name)
    # What stands there under several names is read once.
    digests: dict[tuple[int, int], str] = {}
    for name in right_size:
        try:
            with open_regular(folder / name) as file:
                found = os.fstat(file.fileno())
                key = found.st_dev, found.st_ino
                if key not in digests:
                    digests[key] = hashlib.file_digest(file, "sha256").hexdigest()
        except (OSError, InvalidFile) as error:
            yield name, what_is_wrong(error)
            continue
        if digests[key] != expected[name]["sha256"]:
            yield name, "is not what was written (its SHA-256 differs)"


def what_is_wrong(error: OSError | InvalidFile) -> str:
    """What is wrong with a file that could not be read."""
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return "is missing"
    return f"cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)


def _expect_tensors(path: Path) -> None:
    """See that the table at the beginning of a safetensors file tells of all of its bytes.

    Raises:
        InvalidFile: It does not.
    """
    try:
        with safe_open(path, "pt"):
            pass
    except FileNotFoundError:
        raise
    except Exception as error:
        raise InvalidFile(f"holds no tensors ({error})") from None


def refuse_links(folder: Path, names: tuple[str, ...]) -> None:
    """Nothing below a session folder may be a link: it could lead anywhere.

    Args:
        folder: The session folder; itself it may be reached by a link.
        names: What in it is used.

    Raises:
        SessionError: There is one.
    """
    links: list[Path] = []
    waiting = [folder / name for name in names if os.path.lexists(folder / name)]
    links += [path for path in waiting if path.is_symlink()]
    folders = [str(path) for path in waiting if path.is_dir() and not path.is_symlink()]
    while folders:
        inner = folders.pop()
        try:
            with os.scandir(inner) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        links.append(Path(entry.path))
                    elif entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        except OSError as error:
            _raise(error)
    if links:
        raise SessionError(
            *(
                f"{shown_path(link)} is a link, and links are not followed: put what it leads to "
                "in its place, as cp -L does"
                for link in sorted(links)
            )
        )


def _raise(error: OSError) -> None:
    """What cannot be read must not pass for empty; but it may be gone by now."""
    if not isinstance(error, FileNotFoundError):
        raise error
