"""The state of live objects, stored in a folder and put back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torchassistant.errors import SessionError
from torchassistant.session.codec import CodecError, decode, encode
from torchassistant.session.storage import read_json, read_tensors, write_json, write_tensors


def write_state(folder: Path, name: str, state: Any, what: str) -> None:
    """Store a state as ``NAME.json`` and, if it holds tensors, ``NAME.safetensors``.

    Raises:
        SessionError: It holds something that is neither data nor a tensor.
    """
    try:
        data, tensors = encode(state)
    except CodecError as error:
        raise SessionError(f"the state of {what} cannot be stored: {error}") from None
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / f"{name}.json", data)
    if tensors:
        write_tensors(folder / f"{name}.safetensors", tensors)


def read_state(folder: Path, name: str) -> Any:
    """What :func:`write_state` stored."""
    return decode(read_json(folder / f"{name}.json"), read_tensors(folder / f"{name}.safetensors"))
