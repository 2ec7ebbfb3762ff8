"""``.pt2``: a program of torch.export as a file that torch loads without the code of its models."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor

from torchassistant.export.exported_graph import Tensors
from torchassistant.export.tracing import NotTraceable, quietly


def write_pt2(program: torch.export.ExportedProgram, path: Path) -> None:
    """Write a program with its weights, and without the examples that it was traced with."""
    program.example_inputs = None
    archive = BytesIO()  # torch's own writer does not say why a file cannot be written
    with quietly():
        torch.export.save(program, archive)
    path.write_bytes(archive.getbuffer())


class Pt2File:
    """A ``.pt2`` file, loaded.

    Args:
        path: The file; of one's own making only, as loading one trusts it.
    """

    runner = "torch.export"

    def __init__(self, path: Path) -> None:
        with quietly():
            self._module = torch.export.load(path).module()

    def __call__(self, inputs: Mapping[str, Tensor]) -> Tensors:
        """The outputs for some inputs.

        Raises:
            NotTraceable: It refuses them.
        """
        try:
            with torch.no_grad():
                made = self._module(dict(inputs))
        except Exception as error:
            said = str(error).strip().partition("\n")[0]
            raise NotTraceable(f"the loaded file refuses a batch: {said}") from error
        return {name: value.detach() for name, value in made.items()}
