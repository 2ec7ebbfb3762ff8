"""A file's outputs beside torch's, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from torchassistant.errors import UserError
from torchassistant.export.exportable import Exportable
from torchassistant.export.exported_graph import Tensors

Run = Callable[[Mapping[str, Tensor]], Tensors]


class NotEqual(UserError):
    """A file gives something else than torch."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a number may be from torch's: ``absolute + relative · |torch's|``.

    Args:
        relative: The share of torch's number.
        absolute: What is allowed whatever that is.
    """

    relative: float
    absolute: float

    def __str__(self) -> str:
        return f"{self.absolute:g} + {self.relative:g} · |torch's|"


TOLERANCES = {
    torch.float64: Tolerance(1e-7, 1e-8),
    torch.float32: Tolerance(1e-4, 1e-5),
    torch.float16: Tolerance(1e-2, 1e-2),
    torch.bfloat16: Tolerance(5e-2, 5e-2),
}
"""By the type that is computed in; integers and truth values are equal."""

ROUNDED = Tolerance(5e-2, 1e-1)
"""Where values between layers are rounded to bytes: some fall to the byte beside."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of a comparison.

    Args:
        sizes: The sizes of the batches.
        tolerance: What was allowed of floating-point outputs.
        largest: The largest difference of each output.
        shapes: The shape of each output; a size that follows an axis of an input has its name.
    """

    sizes: Sequence[int]
    tolerance: Tolerance
    largest: Mapping[str, float]
    shapes: Mapping[str, Sequence[int | str]]

    def __str__(self) -> str:
        sizes = ", ".join(map(str, self.sizes))
        found = ", ".join(f"{name} {value:.1e}" for name, value in self.largest.items())
        return (
            f"verified against torch in batches of {sizes}; largest differences: {found} "
            f"(allowed: {self.tolerance})"
        )


def compared(
    exportable: Exportable,
    run: Run,
    batches: Sequence[tuple[int, Tensors]],
    tolerance: Tolerance,
) -> Comparison:
    """Compare every output of a file with torch's.

    Args:
        exportable: What the file was made of.
        run: Runs the file.
        batches: The size of each batch, and its inputs.
        tolerance: What is allowed of floating-point outputs.

    Raises:
        NotEqual: An output differs.
    """
    largest: dict[str, float] = {}
    sizes: dict[str, list[Sequence[int]]] = {}
    for size, inputs in batches:
        wanted, found = exportable.outputs_of(inputs), run(inputs)
        for name, tensor in wanted.items():
            if name not in found:
                raise NotEqual(f'the file gives no output "{name}"')
            difference = _difference(tensor, found[name], tolerance, f'"{name}"', size)
            largest[name] = max(difference, largest.get(name, 0.0))
            sizes.setdefault(name, []).append(tuple(tensor.shape))
    given = [inputs for _, inputs in batches]
    shapes = {name: exportable.output_shape(name, found, given) for name, found in sizes.items()}
    return Comparison([size for size, _ in batches], tolerance, largest, shapes)


def _difference(wanted: Tensor, found: Tensor, tolerance: Tolerance, name: str, size: int) -> float:
    where = f"in a batch of {size} the output {name} of the file"
    if wanted.shape != found.shape or wanted.dtype != found.dtype:
        raise NotEqual(f"{where} is {_kind(found)}, and torch's is {_kind(wanted)}")
    if not wanted.is_floating_point():
        if not torch.equal(wanted, found):
            count = int((wanted != found).sum())
            raise NotEqual(f"{where} differs from torch's in {count} of {wanted.numel()} places")
        return 0.0
    one, other = wanted.double(), found.double()
    same = (one == other) | (one.isnan() & other.isnan())
    difference = torch.where(same, 0.0, (one - other).abs())
    allowed = tolerance.absolute + tolerance.relative * one.abs()
    if not bool((same | (difference <= allowed)).all()):
        worst = float(difference.nan_to_num(float("inf")).max())
        raise NotEqual(f"{where} differs from torch's by {worst:.3g} (allowed: {tolerance})")
    return float(difference.max()) if difference.numel() else 0.0


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
