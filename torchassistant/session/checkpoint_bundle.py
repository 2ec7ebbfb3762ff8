"""What is to be written into a folder: gathered by one thread, written by another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from torchassistant.codec import CodecError, decode, encode
from torchassistant.errors import SessionError
from torchassistant.files import InvalidFile
from torchassistant.session.durable_files import (
    as_json,
    as_json_lines,
    read_json,
    read_tensors,
    write_tensors,
)
from torchassistant.whole_files import own_memory


class CheckpointBundle:
    """Files by their path below a folder. What is added is copied, and may change afterwards."""

    def __init__(self) -> None:
        self.tensors: dict[str, dict[str, torch.Tensor]] = {}
        self.states: dict[str, Any] = {}
        self.data: dict[str, Any] = {}

    @property
    def tensor_bytes(self) -> int:
        """What the tensors hold, in bytes."""
        return sum(t.nbytes for tensors in self.tensors.values() for t in tensors.values())

    def add_tensors(self, name: str, tensors: Mapping[str, torch.Tensor]) -> None:
        """Tensors by name, as ``NAME.safetensors``.

        Raises:
            SessionError: One is of a kind that such a file does not hold.
        """
        for key, tensor in tensors.items():
            if is_lazy(tensor):
                raise SessionError(
                    f'the tensor "{key}" of {name} has no shape yet, as its layer is lazy: the '
                    "preflight gives it one"
                )
            if tensor.layout is not torch.strided or tensor.dtype is torch.complex128:
                kind = f"{tensor.layout} {tensor.dtype}".replace("torch.", "")
                raise SessionError(f'the tensor "{key}" of {name} is {kind}, which is not stored')
        self.tensors[f"{name}.safetensors"] = own_memory(tensors)

    def add_state(self, name: str, state: Any, what: str) -> None:
        """A state as ``NAME.json`` and, if it holds tensors, ``NAME.safetensors``.

        Raises:
            SessionError: It holds something that is neither data nor a tensor.
        """
        try:
            data, tensors = encode(state)
        except CodecError as error:
            raise SessionError(f"the state of {what} cannot be stored: {error}") from None
        self.states[f"{name}.json"] = data
        if tensors:
            self.add_tensors(name, tensors)

    def add_json(self, name: str, data: Any) -> None:
        """Plain data that nobody changes, as ``NAME``."""
        self.data[name] = data

    def write(self, folder: Path) -> list[str]:
        """Write everything into a folder that is aside; gives the paths of the files below it."""
        texts = {
            **{name: as_json(data) for name, data in self.data.items()},
            **{name: as_json_lines(data) for name, data in self.states.items()},
        }
        for name, text in texts.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text)
        for name, tensors in self.tensors.items():
            write_tensors(folder / name, tensors)
        return sorted([*texts, *self.tensors])


def read_state(
    folder: Path,
    name: str,
    has_tensors: bool | None = None,
    device: torch.device | None = None,
) -> Any:
    """The state that was added under a name.

    Args:
        folder: Where it was written.
        name: Its name.
        has_tensors: Whether it holds some; left out: whether there is a file of them.
        device: Where tensors belong that were on a device; left out: in the memory of the host.

    Raises:
        OSError: It cannot be read.
        InvalidFile: It is none.
    """
    file = folder / f"{name}.safetensors"
    tensors = read_tensors(file) if (file.exists() if has_tensors is None else has_tensors) else {}
    try:
        return decode(read_json(folder / f"{name}.json"), tensors, device)
    except CodecError as error:
        raise InvalidFile(str(error)) from None
