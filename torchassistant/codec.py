"""State as JSON and tensors: what a state_dict may hold, without pickle.

Plain JSON values stand for themselves. Everything else is an object with the key ``$``, which
says what it is; a tensor is a name in a table of tensors that is stored beside the JSON.
"""

from __future__ import annotations

import base64
import math
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from torchassistant.compat.tensor_internals import quantized, quantized_by_channel, sparse_parts

STATE = "state"
"""Under which name the metadata of a safetensors file has the JSON of a state, with its tensors."""

_TAG = "$"


class CodecError(Exception):
    """A value that cannot be stored, or none that was; the message says what it is."""


def encode(value: Any) -> tuple[Any, dict[str, torch.Tensor]]:
    """State as JSON data and a table of tensors.

    Raises:
        CodecError: It holds something that is neither data nor a tensor.
    """
    tensors: dict[str, torch.Tensor] = {}
    return _encoded(value, "", tensors), tensors


def decode(
    value: Any, tensors: Mapping[str, torch.Tensor], device: torch.device | None = None
) -> Any:
    """The state that :func:`encode` was given.

    Args:
        value: The JSON data.
        tensors: The table of tensors.
        device: Where tensors belong that were not in the memory of the host; left out: there too.

    Raises:
        CodecError: That is not what it gave.
    """
    try:
        return _decoded(value, _Tensors(tensors, device))
    except Exception as error:
        # What is put together here, is put together by others, and they raise anything.
        raise CodecError(f"holds no state ({type(error).__name__}: {error})") from None


class _Tensors:
    """The table of tensors, of which some belong on a device."""

    def __init__(self, tensors: Mapping[str, torch.Tensor], device: torch.device | None) -> None:
        self.tensors = tensors
        self.device = device

    def of(self, value: dict[str, Any]) -> torch.Tensor:
        tensor = self.tensors[value["name"]]
        return tensor.to(self.device) if "on_device" in value else tensor


def _decoded(value: Any, tensors: _Tensors) -> Any:
    if isinstance(value, list):
        return [_decoded(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if _TAG not in value:
        return {key: _decoded(item, tensors) for key, item in value.items()}
    kind = value[_TAG]
    if kind == "float":
        return float(value["value"])
    if kind == "bytes":
        return base64.b64decode(value["value"], validate=True)
    if kind == "tensor":
        return tensors.of(value)
    if kind == "ndarray":
        return tensors.of(value).numpy()
    if kind in _PUT_TOGETHER:
        parts = [_decoded(part, tensors) for part in value["parts"]]
        return _PUT_TOGETHER[kind](*parts, *(_decoded(item, tensors) for item in value["rest"]))
    if kind == "number":
        return tensors.of(value).numpy()[()]
    items = [_decoded(item, tensors) for item in value["items"]]
    if kind in ("dict", "ordered"):
        pairs = [(tuple(k) if isinstance(k, list) else k, v) for k, v in items]
        return OrderedDict(pairs) if kind == "ordered" else dict(pairs)
    if kind == "counter":
        return Counter(dict(items))
    if kind == "deque":
        return deque(items, maxlen=value["maxlen"])
    return {"tuple": tuple, "set": set, "frozenset": frozenset}[kind](items)


_AS_THEY_ARE = frozenset((type(None), bool, int, str))
"""Types of which JSON holds every value."""


def _encoded(value: Any, at: str, tensors: dict[str, torch.Tensor]) -> Any:
    if type(value) in _AS_THEY_ARE:
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {_TAG: "float", "value": repr(value)}
    if isinstance(value, torch.Tensor):
        taken = _taken_apart(value)
        if taken is None:
            where = {} if value.is_cpu else {"on_device": True}
            return {_TAG: "tensor", "name": _put(value, at, tensors), **where}
        kind, parts, rest = taken
        return {
            _TAG: kind,
            "parts": [_encoded(part, f"{at}.{i}", tensors) for i, part in enumerate(parts)],
            "rest": [_encoded(item, at, tensors) for item in rest],
        }
    if isinstance(value, np.ndarray) and _is_known(value.dtype):
        native = value.astype(value.dtype.newbyteorder("="))
        return {_TAG: "ndarray", "name": _put(torch.from_numpy(native), at, tensors)}
    if isinstance(value, np.generic) and _is_known(value.dtype):
        return {_TAG: "number", "name": _put(torch.from_numpy(np.array(value)), at, tensors)}
    if type(value) is bytes:
        return {_TAG: "bytes", "value": base64.b64encode(value).decode()}
    if type(value) is list:
        if _AS_THEY_ARE.issuperset(map(type, value)):  # states of generators have hundreds
            return list(value)
        return [_encoded(item, f"{at}.{i}", tensors) for i, item in enumerate(value)]
    if type(value) in (tuple, set, frozenset, deque):
        kind = type(value).__name__
        ordered = sorted(value, key=repr) if kind in ("set", "frozenset") else value
        items = _encoded(list(ordered), at, tensors)
        extra = {"maxlen": value.maxlen} if kind == "deque" else {}
        return {_TAG: kind, "items": items, **extra}
    if type(value) in (dict, Counter, OrderedDict):
        return _encoded_mapping(value, at, tensors)
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    raise CodecError(f"{at.lstrip('.') or 'the state'} is a {kind}, which cannot be stored")


def _taken_apart(tensor: torch.Tensor) -> tuple[str, list[torch.Tensor], list[Any]] | None:
    """A tensor that files do not hold as tensors that they do hold, and what else it is made of.

    Returns:
        The kind, the tensors and the rest; None for one that needs none of this.
    """
    tensor = tensor.detach()
    layout = tensor.layout
    if tensor.is_nested:
        return "nested", list(tensor.unbind()), [layout is torch.jagged]
    if layout is torch.sparse_coo:
        # Indices that stand there twice stay twice: they are added when they are used.
        indices, values, is_coalesced = sparse_parts(tensor)
        return "sparse", [indices, values], [list(tensor.shape), is_coalesced]
    if layout in (torch.sparse_csr, torch.sparse_bsr):
        parts = [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
        return "compressed", parts, [list(tensor.shape), _LAYOUTS.index(layout)]
    if layout in (torch.sparse_csc, torch.sparse_bsc):
        parts = [tensor.ccol_indices(), tensor.row_indices(), tensor.values()]
        return "compressed", parts, [list(tensor.shape), _LAYOUTS.index(layout)]
    if tensor.is_quantized:
        if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
            return "quantized", [tensor.int_repr()], [tensor.q_scale(), tensor.q_zero_point()]
        parts = [
            tensor.int_repr(),
            tensor.q_per_channel_scales(),
            tensor.q_per_channel_zero_points(),
        ]
        return "quantized by channel", parts, [tensor.q_per_channel_axis()]
    if tensor.dtype in (torch.complex32, torch.complex128):
        return "complex", [torch.view_as_real(tensor.resolve_conj())], []
    return None


_LAYOUTS = (torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)


def _nested(*parts: Any) -> torch.Tensor:
    *tensors, is_jagged = parts
    layout = torch.jagged if is_jagged else torch.strided
    return torch.nested.nested_tensor(tensors, layout=layout)


def _sparse(
    indices: torch.Tensor, values: torch.Tensor, shape: list[int], is_coalesced: bool
) -> torch.Tensor:
    return torch.sparse_coo_tensor(
        indices, values, shape, check_invariants=True, is_coalesced=is_coalesced
    )


def _compressed(
    outer: torch.Tensor, inner: torch.Tensor, values: torch.Tensor, shape: list[int], layout: int
) -> torch.Tensor:
    return torch.sparse_compressed_tensor(
        outer, inner, values, shape, layout=_LAYOUTS[layout], check_invariants=True
    )


_PUT_TOGETHER: dict[str, Callable[..., torch.Tensor]] = {
    "nested": _nested,
    "sparse": _sparse,
    "compressed": _compressed,
    "quantized": quantized,
    "quantized by channel": quantized_by_channel,
    "complex": lambda pairs: torch.view_as_complex(pairs),
}


def _is_known(dtype: np.dtype[Any]) -> bool:
    """Whether torch has it too: numbers of up to 64 bits."""
    return dtype.kind in "biuf" and dtype.itemsize <= 8


def _encoded_mapping(value: Any, at: str, tensors: dict[str, torch.Tensor]) -> Any:
    if type(value) is dict and all(type(key) is str and key != _TAG for key in value):
        return {key: _encoded(item, f"{at}.{key}", tensors) for key, item in value.items()}
    kind = "counter" if type(value) is Counter else "dict"
    kind = "ordered" if type(value) is OrderedDict else kind
    items = [
        [_encoded(key, f"{at}.key", tensors), _encoded(item, f"{at}.{key}", tensors)]
        for key, item in value.items()
    ]
    return {_TAG: kind, "items": items}


def _put(tensor: torch.Tensor, at: str, tensors: dict[str, torch.Tensor]) -> str:
    name = at.lstrip(".") or "value"
    while name in tensors:
        name += "_"
    tensors[name] = tensor
    return name
