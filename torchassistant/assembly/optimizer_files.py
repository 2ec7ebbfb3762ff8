"""The state of an optimizer in a file that ``convert --optimizer`` has written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from torchassistant.assembly.weight_files import SUFFIX, refuse, telling_of
from torchassistant.codec import STATE, decode
from torchassistant.errors import UserError, shown_path
from torchassistant.files import InvalidFile, open_regular, parsed_json


def optimizer_state_in(path: Path) -> Any:
    """The ``state_dict`` of an optimizer in a file.

    Raises:
        UserError: There is none, or it is something else; the message is a sentence.
    """
    shown = shown_path(path)
    if (path / "checkpoints").is_dir():
        raise UserError(f'{shown} is a session: write "session:{shown}"')
    with telling_of(path):
        if path.suffix != SUFFIX:
            refuse(path, " --optimizer")
        return _read(os.path.realpath(path))


def _read(path: str) -> Any:
    """What a file holds.

    Raises:
        InvalidFile: It is no safetensors file, or one without the state of an optimizer.
        CodecError: It is damaged.
        OSError: It cannot be read.
    """
    open_regular(path).close()
    try:
        with safe_open(path, framework="pt") as file:
            told = (file.metadata() or {}).get(STATE)
            if told is None:
                raise InvalidFile(
                    "holds weights, and no state of an optimizer, as "
                    '"torchassistant convert FILE NEW_FILE --optimizer" writes it'
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise InvalidFile(f"is not a whole {SUFFIX} file ({error})") from None
    return decode(parsed_json(told.encode()), tensors)
