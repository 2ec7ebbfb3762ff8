"""Sessions that somebody made up: contents that were changed, and sealed again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

Steps = tuple[str | int, ...]


def fingerprint(data: bytes) -> dict[str, Any]:
    """What a manifest says of a file that holds this."""
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def reseal(
    checkpoint: Path, change: Callable[[dict[str, Any]], Any] = lambda manifest: None
) -> None:
    """Make the manifest of a checkpoint fit its files, whatever they hold.

    Args:
        checkpoint: Its folder.
        change: Is called with the manifest before it is sealed.
    """
    path = checkpoint / "manifest.json"
    manifest = json.loads(path.read_bytes())
    for name in manifest["files"]:
        if (checkpoint / name).is_file():
            manifest["files"][name] = fingerprint((checkpoint / name).read_bytes())
    change(manifest)
    write_manifest(path, manifest)


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write a manifest that covers itself."""
    data = {key: value for key, value in manifest.items() if key != "sha256"}
    data["sha256"] = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def rewrite(checkpoint: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Change the JSON of a file of a checkpoint, in place or by what is given back, and seal it."""
    path = checkpoint / name
    data = json.loads(path.read_bytes())
    changed = change(data)
    path.write_text(json.dumps(data if changed is None else changed), encoding="utf-8")
    reseal(checkpoint)


def set_text(checkpoint: Path, name: str, text: str) -> None:
    """Change what a manifest has of a file of the session that changes while it is trained."""

    def change(manifest: dict[str, Any]) -> None:
        manifest["session"][name] = {**fingerprint(text.encode()), "text": text}

    reseal(checkpoint, change)


def put(path: Steps, value: Any) -> Callable[[Any], Any]:
    """A change that sets what stands at a path."""

    def change(data: Any) -> Any:
        if not path:
            return value
        for step in path[:-1]:
            data = data[step]
        data[path[-1]] = value
        return None

    return change


def drop(path: Steps) -> Callable[[Any], Any]:
    """A change that takes away what stands at a path."""

    def change(data: Any) -> Any:
        for step in path[:-1]:
            data = data[step]
        del data[path[-1]]
        return None

    return change


def paths_of(data: Any, path: Steps = ()) -> Iterator[Steps]:
    """Every path of some JSON."""
    yield path
    if isinstance(data, dict):
        for key, value in data.items():
            yield from paths_of(value, (*path, key))
    elif isinstance(data, list):
        for index, value in list(enumerate(data))[:3]:
            yield from paths_of(value, (*path, index))
