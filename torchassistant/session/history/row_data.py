"""The tensors that metrics gave with a row of the history: one safetensors file a row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from safetensors.torch import load, save

from torchassistant.errors import DataError
from torchassistant.files import InvalidFile
from torchassistant.session.files.append_only_logs import METRICS
from torchassistant.training import Data

_FORMS = "torchassistant"
"""The key of the file's metadata that says what each value is made of, as JSON: the name of a
tensor, or a list. One key, as the order of several would differ from file to file."""

_MOST = 1 << 28
"""Bytes of one row."""


class RowData(NamedTuple):
    """What a metric gave as tensors, with one row of the history.

    Args:
        stage: The stage's name, or its index where it has none.
        epoch: As in the history.
        step: As in the history.
        value: A tensor, or a list of them.
    """

    stage: str | int
    epoch: int
    step: int
    value: Data


def data_file(stage: int, step: int) -> str:
    """The file of a row, by its path below the session folder."""
    return f"{METRICS}/{stage}-{step}.safetensors"


def encoded(data: Mapping[str, Data]) -> bytes:
    """The tensors of a row as a safetensors file.

    A value that is a list has a tensor ``NAME[0]``, ``NAME[1]``, … for each part, lists in it
    ``NAME[0][0]``, ….

    Raises:
        DataError: They are too large to be kept for each row.
    """
    tensors: dict[str, torch.Tensor] = {}
    forms = {name: _put(value, name, tensors) for name, value in data.items()}
    sizes = {name: tensor.numel() * tensor.element_size() for name, tensor in tensors.items()}
    if sum(sizes.values()) > _MOST:
        largest = max(sizes, key=lambda name: sizes[name])
        raise DataError(
            f"the tensors that metrics give for a row have {sum(sizes.values())} bytes, of which "
            f'"{largest}" has {sizes[largest]}, and {_MOST} are stored at most'
        )
    return bytes(save(tensors, {_FORMS: json.dumps(forms)}))


def _put(value: Data, path: str, tensors: dict[str, torch.Tensor]) -> Any:
    """Put the tensors of a value into a table; gives their names, in lists as the tensors are."""
    if not isinstance(value, torch.Tensor):
        return [_put(part, f"{path}[{index}]", tensors) for index, part in enumerate(value)]
    while path in tensors:
        path += "_"
    tensors[path] = value.contiguous()
    return path


def decoded(file: bytes) -> dict[str, Data]:
    """What :func:`encoded` was given.

    Raises:
        InvalidFile: That is not what it gave.
    """
    try:
        length = int.from_bytes(file[:8], "little")
        forms = json.loads(json.loads(file[8 : 8 + length])["__metadata__"][_FORMS])
        tensors = load(file)
        return {name: _value(form, tensors) for name, form in forms.items()}
    except Exception as error:
        # Whoever can write the file can make up all of it.
        raise InvalidFile(f"holds no data of metrics ({type(error).__name__}: {error})") from None


def _value(form: Any, tensors: Mapping[str, torch.Tensor]) -> Data:
    return [_value(part, tensors) for part in form] if isinstance(form, list) else tensors[form]
