"""Values as bytes, and back: what processes tell each other, without pickle."""

from __future__ import annotations

import json
import struct
from typing import Any

import torch
from safetensors.torch import load, save

from torchassistant.codec import decode, encode
from torchassistant.whole_files import own_memory

_LENGTH = struct.Struct("<Q")


def packed(value: Any) -> torch.Tensor:
    """Plain data and tensors as a row of bytes: uint8 (N,).

    Raises:
        CodecError: It holds something else.
    """
    data, tensors = encode(value)
    text = json.dumps(data).encode()
    whole = _LENGTH.pack(len(text)) + text + (save(own_memory(tensors)) if tensors else b"")
    return torch.frombuffer(bytearray(whole), dtype=torch.uint8)


def unpacked(row: torch.Tensor, device: torch.device) -> Any:
    """What :func:`packed` was given.

    Each tensor has memory of its own, which lies alike wherever it came from: sums are rounded by
    that.

    Args:
        row: The bytes, on the host.
        device: Where tensors belong that were not on the host.
    """
    whole = row.numpy().tobytes()
    (length,) = _LENGTH.unpack_from(whole)
    text, rest = whole[_LENGTH.size : _LENGTH.size + length], whole[_LENGTH.size + length :]
    tensors = {name: tensor.clone() for name, tensor in load(rest).items()} if rest else {}
    return decode(json.loads(text), tensors, device)
