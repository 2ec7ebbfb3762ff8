"""The operators that round values, and the order of a program's inputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from torchassistant.compat.quantisation import inputs_in_order, outputs_of, rounding_operators


class Two(nn.Module):
    def forward(self, x: Tensor, y: Tensor, *, z: Tensor) -> dict[str, list[Tensor]]:
        return {"sum": [x + y], "other": [z]}


def test_inputs_and_outputs_are_those_of_the_module() -> None:
    one = torch.ones(2)
    program = torch.export.export(Two(), (one, one * 2), {"z": one * 3})
    assert inputs_in_order(program) == ([0, 1], {"z": 2})
    assert outputs_of(program, (1, 2)) == {"sum": [1], "other": [2]}


def test_values_are_rounded_to_bytes() -> None:
    operators, x = rounding_operators(), torch.tensor([-1.0, 0.26, 300.0])
    how = (0.5, 10, 0, 255, torch.uint8)
    rounded = operators.quantize_per_tensor.default(x, *how)
    assert rounded.tolist() == [8, 11, 255]
    assert operators.dequantize_per_tensor.default(rounded, *how).tolist() == [-1.0, 0.5, 122.5]
