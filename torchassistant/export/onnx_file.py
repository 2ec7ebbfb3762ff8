"""ONNX: a program of torch.export as a file that onnxruntime runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from torchassistant.export.exported_graph import Tensors
from torchassistant.export.onnx_rounding import rounds, translations
from torchassistant.export.tracing import NotTraceable, input_names, quietly

_LAYER = "namespace"

OPSET = 20
"""The version of ONNX's operators: the one that torch's exporter is written for."""


def write_onnx(
    program: torch.export.ExportedProgram,
    outputs: Sequence[str],
    axes: Mapping[str, Mapping[int, str]],
    path: Path,
) -> None:
    """Write a program as ONNX.

    Args:
        program: Is written.
        outputs: The names of its outputs.
        axes: For each input the names of its axes that are of any size.
        path: The file.

    Raises:
        NotTraceable: It holds an operator that ONNX, or torch's exporter, does not have.
    """
    with quietly():
        try:
            written = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=input_names(program),
                output_names=list(outputs),
                dynamic_shapes=({name: dict(named) for name, named in axes.items()},),
                custom_translation_table=translations() if rounds(program) else None,
            )
        except torch.onnx.OnnxExporterError as error:
            raise NotTraceable(f"the graph cannot be written as ONNX: {_reason(error)}") from error
        assert written is not None, "torch gives none to its older exporter only"
        _forget_torch(written.model.graph)
        written.save(path)


def _forget_torch(graph: Any) -> None:
    """Leave of what torch notes of each node only what layer it is of; the rest is as large as it.

    Args:
        graph: Of onnx_ir.
    """
    from onnx_ir.traversal import RecursiveGraphIterator

    for node in RecursiveGraphIterator(graph):
        layer = node.metadata_props.get(_LAYER)
        node.metadata_props.clear()
        if layer is not None:
            node.metadata_props[_LAYER] = layer


def expect_numbers(outputs: Mapping[str, Tensor]) -> None:
    """Expect outputs of a kind that ONNX has.

    Raises:
        NotTraceable: One is complex.
    """
    for name, tensor in outputs.items():
        if tensor.is_complex():
            raise NotTraceable(
                f'the output "{name}" is complex, which ONNX has not: torch.view_as_real in the '
                "model gives pairs of numbers, and --format pt2 has complex ones"
            )


def _reason(error: BaseException) -> str:
    """What the innermost error says, in its first line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


class OnnxFile:
    """A file of ONNX, run by onnxruntime on the CPU.

    Args:
        path: The file.
        dtype: What it computes in, where that is not float32.

    Raises:
        NotTraceable: onnxruntime cannot run it here.
    """

    runner = "onnxruntime"

    def __init__(self, path: Path, dtype: torch.dtype | None = None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            said = _reason(error).replace(str(path), path.name)
            if dtype is not None:
                kind = str(dtype).removeprefix("torch.")
                raise NotTraceable(
                    f"onnxruntime cannot run this graph in {kind} on the CPU, so that the file "
                    f"cannot be verified; float32, or --format pt2, can be: {said}"
                ) from error
            raise NotTraceable(f"onnxruntime cannot run the file: {said}") from error
        self.outputs = [one.name for one in self._session.get_outputs()]

    def __call__(self, inputs: Mapping[str, Tensor]) -> Tensors:
        """The outputs for some inputs.

        Raises:
            NotTraceable: onnxruntime refuses them.
        """
        given = {name: value.detach().numpy() for name, value in inputs.items()}
        try:
            made = self._session.run(self.outputs, given)
        except Exception as error:
            raise NotTraceable(f"onnxruntime refuses a batch: {_reason(error)}") from error
        return {n: torch.from_numpy(v) for n, v in zip(self.outputs, made, strict=True)}
