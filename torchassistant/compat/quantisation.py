"""Operators that round values to a byte, and how graphs name their inputs and outputs."""

from __future__ import annotations

from typing import Any

from torch.export import ExportedProgram
from torch.utils import _pytree


def rounding_operators() -> Any:
    """The operators by which a graph rounds values to bytes: ``torch.ops.quantized_decomposed``.

    Private: ``torch.ao.quantization.fx._decomposed``, in torch 2.10 to 2.14, which registers them.
    torchao and torch's exporter to ONNX use the same.

    Without it: an ImportError.
    """
    import torch.ao.quantization.fx._decomposed

    return torch.ops.quantized_decomposed


def inputs_in_order(program: ExportedProgram) -> tuple[list[int], dict[str, int]]:
    """Where each argument of a program stands among its flat inputs, if none has parts.

    Private: ``torch.utils._pytree``, in torch 2.10 to 2.14: the specs of torch.export are its.

    Without it: an ImportError.
    """
    spec = program.call_spec.in_spec
    assert spec is not None, "torch.export gives one"
    args, kwargs = _pytree.tree_unflatten(range(spec.num_leaves), spec)
    return list(args), dict(kwargs)


def outputs_of(program: ExportedProgram, values: tuple[Any, ...]) -> Any:
    """What a program gives, in the form that its module gave; see :func:`inputs_in_order`."""
    spec = program.call_spec.out_spec
    assert spec is not None, "torch.export gives one"
    return _pytree.tree_unflatten(values, spec)
