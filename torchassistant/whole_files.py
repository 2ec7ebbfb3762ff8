"""Files that are whole or not there: written aside, synced, then renamed into place."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from torchassistant.errors import NotWritten

if TYPE_CHECKING:  # whoever only writes needs none of it
    import torch

ASIDE = ".aside-"
"""How the names of files begin that are not in their place yet."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """What the system refuses in here is told of a path that the user knows.

    Errors of other files, as of one that is read, stay what they are.

    Args:
        path: What is written in here, aside or in its place.

    Raises:
        NotWritten: The system refused it, something in it, or a folder around it.
    """
    try:
        yield
    except OSError as error:
        if not _is_about(error, path):
            raise
        raise NotWritten(path, error) from error


def _is_about(error: OSError, path: Path) -> bool:
    if error.errno is None or isinstance(error, ConnectionError):
        return False
    if error.filename is None:  # of a handle
        return True
    whole, found = (Path(os.path.abspath(os.fsdecode(one))) for one in (path, error.filename))
    if found in (whole, *whole.parents) or whole in found.parents:
        return True
    if whole.parent not in found.parents:
        return False
    return found.relative_to(whole.parent).parts[0].startswith(ASIDE)


def make_folder(path: Path) -> None:
    """Make a folder, and those around it, where they are missing.

    Raises:
        NotWritten: It cannot be made.
    """
    with naming(path):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            reason = os.strerror(errno.ENOTDIR)
            raise NotADirectoryError(errno.ENOTDIR, reason, error.filename) from None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new file that replaces another, or none, when it is whole and on the disk.

    Args:
        path: Where it will stand; its folder is there.

    Yields:
        The file aside, to write into.

    Raises:
        NotWritten: It could not be written; then everything is as it was.
    """
    with naming(path):
        handle, name = tempfile.mkstemp(prefix=ASIDE, dir=path.parent)
        os.close(handle)
        try:
            yield Path(name)
            sync_path(Path(name))
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        sync_path(path.parent)


def sync_path(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def save_tensors(
    tensors: Mapping[str, torch.Tensor], path: Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file.

    Args:
        tensors: On the CPU, contiguous, none in the memory of another.
        path: The file.
        metadata: Texts that the file holds besides.

    Raises:
        OSError: It cannot be written, which the library says in words of its own.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(dict(tensors), path, None if metadata is None else dict(metadata))
    except SafetensorError as error:
        found = re.search(r"\(os error (\d+)\)", str(error))
        if found is None:
            raise
        number = int(found[1])
        raise OSError(number, os.strerror(number), str(path)) from error


def own_memory(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copies on the CPU that nothing else changes; tensors that share memory get their own."""
    return {
        name: tensor.detach().resolve_conj().resolve_neg().to("cpu", copy=True).contiguous()
        for name, tensor in tensors.items()
    }


def storable(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same on the CPU, contiguous, none in the memory of another; copied only where need be."""
    found: dict[str, torch.Tensor] = {}
    places = set()
    for name, tensor in tensors.items():
        own = tensor.detach().resolve_conj().resolve_neg().to("cpu").contiguous()
        place = own.untyped_storage().data_ptr()
        if place in places:
            own = own.clone()
        places.add(place)
        found[name] = own
    return found
