"""Files that are whole or not there: written aside, synced, then renamed into place."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # whoever only writes needs none of it
    import torch

ASIDE = ".aside-"
"""How the names of files begin that are not in their place yet."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new file that replaces another, or none, when it is whole and on the disk.

    Args:
        path: Where it will stand; its folder is there.

    Yields:
        The file aside, to write into.

    Raises:
        OSError: It could not be written; then everything is as it was.
    """
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
