"""Weights of a byte each: int8 per channel, symmetric, with a scale beside.

A module keeps its class's behaviour: only what it reads as ``weight`` is computed from the bytes
when it is read. The parameters keep their names, and hold int8.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from torchassistant.compat.modules import own_buffers, own_parameters, set_flat_weights
from torchassistant.compat.quantisation import rounding_operators
from torchassistant.rebuilding.misfit import Misfit, module_at

_SCALE = "_scale"
_MOST = 127
_BY_OPERATOR = ContextVar("weights by operator", default=False)


def with_int8_weights(model: nn.Module, axes: Mapping[str, int], convert: bool) -> nn.Module:
    """Keep parameters of a model as int8.

    Args:
        model: Is changed.
        axes: The axis of the channels of each parameter, by its path.
        convert: Whether the values are those of the model; else they are to be loaded.

    Raises:
        Misfit: There is no such parameter, or it has no such axis.
    """
    made: dict[int, tuple[nn.Parameter, Tensor]] = {}
    by_module: dict[str, list[str]] = {}
    held = []  # so that no id is used again
    for path, axis in axes.items():
        owner, _, name = path.rpartition(".")
        module = module_at(model, owner)
        parameter = own_parameters(module).get(name)
        if parameter is None:
            raise Misfit(f'there is no parameter "{path}"')
        if id(parameter) not in made:
            if not 0 <= axis < parameter.ndim:
                raise Misfit(f'the parameter "{path}" has no axis {axis}')
            held.append(parameter)
            made[id(parameter)] = _quantised(parameter.detach(), axis, convert)
        by_module.setdefault(owner, []).append(name)
        own_parameters(module)[name], scale = made[id(parameter)]
        module.register_buffer(name + _SCALE, scale)
    for owner, names in by_module.items():
        module = module_at(model, owner)
        if not has_int8_weights(module):
            module.__class__ = _class_with(type(module), tuple(names))
    return model


def has_int8_weights(module: nn.Module) -> bool:
    """Whether a module keeps weights as int8."""
    return isinstance(module, _Int8)


def _quantised(weight: Tensor, axis: int, convert: bool) -> tuple[nn.Parameter, Tensor]:
    """The bytes of a weight, and its scales, which have an axis of one element for the others."""
    others = [dim for dim in range(weight.ndim) if dim != axis]
    scale = weight.abs().amax(others, keepdim=True) / _MOST
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    if not convert:
        return nn.Parameter(torch.zeros_like(weight, dtype=torch.int8), False), scale
    if not bool(torch.isfinite(scale).all()):
        raise Misfit("its weights are not finite")
    quantised = (weight / scale).round().clamp(-_MOST, _MOST).to(torch.int8)
    return nn.Parameter(quantised, requires_grad=False), scale.contiguous()


class _Int8:
    """Marks the classes that are made here."""


class _Recurrent(nn.RNNBase):
    """An RNN's kernel gets a list of weights that it keeps."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As the class that it is mixed with."""
        set_flat_weights(self, True)
        try:
            return super().forward(*args, **kwargs)
        finally:
            set_flat_weights(self, False)


class _Rows(nn.Embedding):
    """Of a table only the rows that are asked for are computed."""

    def forward(self, input: Tensor) -> Tensor:
        """As the class that it is mixed with."""
        scale = own_buffers(self)[f"weight{_SCALE}"]
        rows = own_parameters(self)["weight"]
        assert scale is not None and rows is not None
        if self.max_norm is not None or scale.shape[0] != self.num_embeddings:
            return super().forward(input)
        return rows[input].to(scale.dtype) * scale[input]


def _class_with(base: type[nn.Module], names: tuple[str, ...]) -> type[nn.Module]:
    """A subclass whose weights of these names are computed from bytes."""
    mixed: tuple[type, ...] = (_Int8,)
    if issubclass(base, nn.RNNBase):
        mixed = (_Int8, _Recurrent)
    elif issubclass(base, nn.Embedding) and base.forward is nn.Embedding.forward:
        mixed = (_Int8, _Rows)
    own: dict[str, Any] = {name: _computed(name) for name in names}
    return type(f"Int8{base.__name__}", (*mixed, base), {**own, "__module__": __name__})


def _computed(name: str) -> property:
    def weight(self: nn.Module) -> Tensor:
        scale = own_buffers(self)[name + _SCALE]
        quantised = own_parameters(self)[name]
        assert scale is not None and quantised is not None
        if _BY_OPERATOR.get() and scale.dtype == torch.float32:
            return _by_operator(quantised, scale)
        return quantised.to(scale.dtype) * scale

    return property(weight)


def _by_operator(quantised: Tensor, scale: Tensor) -> Tensor:
    """The same, in one operator."""
    axis = next((axis for axis, size in enumerate(scale.shape) if size > 1), 0)
    compute = rounding_operators().dequantize_per_channel.default
    return compute(quantised, scale.flatten(), None, axis, -_MOST - 1, _MOST, torch.int8)


@contextmanager
def weights_by_operator() -> Iterator[None]:
    """Weights are computed by the operator that ONNX has for it, and no other.

    What is written with it holds bytes; a product would be computed when the file is written.
    """
    token = _BY_OPERATOR.set(True)
    try:
        yield
    finally:
        _BY_OPERATOR.reset(token)
