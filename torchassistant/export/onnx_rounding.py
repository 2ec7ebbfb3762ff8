"""Rounding to bytes in ONNX, where the scale follows from the values: torch's exporter lacks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from torchassistant.compat.quantisation import rounding_operators


def rounds(program: torch.export.ExportedProgram) -> bool:
    """Whether a program rounds values to bytes.

    A number that is nearly between two bytes falls to one of them in torch, and to the other one
    elsewhere.
    """
    return any(
        str(node.target).startswith("quantized_decomposed.quantize") for node in program.graph.nodes
    )


def translations() -> dict[Any, Callable[..., Any]]:
    """What ONNX has in the place of torch's operators, as torch's exporter takes it."""
    from onnxscript import DOUBLE, FLOAT, INT64, UINT8
    from onnxscript import opset20 as op

    def choose(x: Any, least: int, most: int, smallest: float, dtype: int) -> Any:
        _, scale, zero = op.DynamicQuantizeLinear(x)
        return op.Cast(scale, to=DOUBLE.dtype), op.Cast(zero, to=INT64.dtype)

    def ends(scale: Any, zero: Any) -> tuple[Any, Any]:
        return op.Cast(scale, to=FLOAT.dtype), op.Cast(zero, to=UINT8.dtype)

    def to_bytes(x: Any, scale: Any, zero: Any, least: int, most: int, dtype: int) -> Any:
        return op.QuantizeLinear(x, *ends(scale, zero))

    def from_bytes(
        x: Any, scale: Any, zero: Any, least: int, most: int, dtype: int, **_: Any
    ) -> Any:
        return op.DequantizeLinear(x, *ends(scale, zero))

    operators = rounding_operators()
    return {
        operators.choose_qparams.tensor: choose,
        operators.quantize_per_tensor.tensor: to_bytes,
        operators.dequantize_per_tensor.tensor: from_bytes,
    }
