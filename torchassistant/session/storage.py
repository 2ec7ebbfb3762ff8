"""All writing of a session: aside first, then synced, then renamed into place."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save

MANIFEST = "manifest.json"
ASIDE = ".aside-"


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder that appears under its name when it is whole, or not at all.

    Args:
        path: Its name; an empty folder or an older one of that name is replaced.

    Yields:
        The folder aside, to write into.
    """
    parents = [parent for parent in path.parents if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f"{ASIDE}{path.name}-", dir=path.parent))
    try:
        aside.chmod(0o755)
        yield aside
        for folder, _, files in os.walk(aside):
            for name in files:
                _sync(Path(folder, name))
            _sync(Path(folder))
        if path.exists():
            remove_folder(path)
        aside.rename(path)
        _sync(path.parent)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        for parent in parents:
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise


def remove_folder(path: Path) -> None:
    """Take a folder away: renamed first, so that half of it never stands under its name."""
    aside = Path(tempfile.mkdtemp(prefix=ASIDE, dir=path.parent))
    path.rename(aside / "gone")
    shutil.rmtree(aside)


def clear_aside(folder: Path) -> None:
    """Remove what an earlier process left aside when it died."""
    for path in folder.glob(f"{ASIDE}*"):
        shutil.rmtree(path, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Replace a file by a whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=ASIDE, dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync(path.parent)


def append_text(path: Path, text: str) -> None:
    """Add to the end of a file, and wait until it is on the disk."""
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def write_json(path: Path, data: Any) -> None:
    """Replace a file by data as JSON."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The data of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Tensors by name as a safetensors file; those that share memory are stored apart."""
    seen: set[int] = set()
    stored = {}
    for name, tensor in tensors.items():
        copy = tensor.detach().to("cpu").contiguous()
        if copy.numel() and copy.untyped_storage().data_ptr() in seen:
            copy = copy.clone()
        seen.add(copy.untyped_storage().data_ptr())
        stored[name] = copy
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(save(stored))


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file; none where there is no such file."""
    return load_file(path) if path.exists() else {}


def write_manifest(folder: Path) -> None:
    """Size and SHA-256 of every file of a folder; written last, it says that all are there."""
    files = {
        path.relative_to(folder).as_posix(): {
            "size": path.stat().st_size,
            "sha256": _sha256(path),
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    write_json(folder / MANIFEST, {"format": 1, "files": files})


def damage(folder: Path) -> str | None:
    """What is wrong with a folder that has a manifest, or None where every file is as written."""
    try:
        files = read_json(folder / MANIFEST)["files"]
        for name, expected in files.items():
            path = folder / name
            if not path.is_file():
                return f"{name} is missing"
            size = path.stat().st_size
            if size != expected["size"]:
                return f"{name} has {size} bytes instead of {expected['size']}"
            if _sha256(path) != expected["sha256"]:
                return f"{name} is not what was written (its SHA-256 differs)"
    except FileNotFoundError:
        return f"{MANIFEST} is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{MANIFEST} cannot be read ({error})"
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
