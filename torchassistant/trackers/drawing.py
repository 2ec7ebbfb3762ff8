"""Pictures of what metrics give as tensors: matrices, rows of numbers, curves."""

from __future__ import annotations

import io
from base64 import b64decode
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Pixels = NDArray[np.uint8]
"""(H, W, 3): red, green and blue."""

_SIDE = 768
"""Pixels of the longer side of a matrix, at most where it has fewer entries than that."""

_PLOT, _MARGIN = 400, 20
_GAP = 8
_READABLE = 28
"""Pixels of a cell that has room for a number."""

_MOST = 1 << 20
"""Entries of what is drawn; who gives more wants no picture."""

_MOST_IMAGES = 64
_GAP_OF_IMAGES = 2

_COLORS = ((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189))


def drawing_of(value: Any) -> Callable[[], Pixels] | None:
    """What draws a value; None where there is no picture of it.

    A matrix (H, W) is a heat map, as a confusion matrix is shown; several (L, H, W) stand side by
    side. A tensor (N,) is bars. A list of tensors ``[x, y, ...]`` of one length, as ROC and
    precision-recall curves come, is a curve of y over x, and a list of lists several.

    Args:
        value: A tensor of real numbers on the CPU, or a list of them.
    """
    if isinstance(value, Tensor):
        return _drawing_of_tensor(value)
    curves = _curves_in(value)
    return None if curves is None else partial(_plot, curves)


def as_png(pixels: Pixels) -> bytes:
    """A picture as a PNG file."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def pixels_of(base64: bytes) -> Pixels:
    """What a PNG file shows, which is given in Base64.

    Raises:
        OSError: It is none.
    """
    from PIL import Image

    with Image.open(io.BytesIO(b64decode(base64)), formats=("PNG",)) as image:
        return np.asarray(image.convert("RGB"))


def side_by_side(files: Sequence[Path], columns: int = 8) -> Pixels:
    """The images of some PNG files in one, row by row; without any a gray square.

    Raises:
        OSError: A file is none.
    """
    from PIL import Image

    images: list[Pixels] = []
    for path in files[:_MOST_IMAGES]:
        with Image.open(path, formats=("PNG",)) as image:
            images.append(np.asarray(image.convert("RGB")))
    if not images:
        return np.full((16, 16, 3), 128, np.uint8)
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    gap = _GAP_OF_IMAGES
    whole = (rows * (height + gap) - gap, columns * (width + gap) - gap, 3)
    found = np.zeros(whole, np.uint8)
    for index, one in enumerate(images):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        found[top : top + one.shape[0], left : left + one.shape[1]] = one
    return found


def _drawing_of_tensor(tensor: Tensor) -> Callable[[], Pixels] | None:
    if tensor.is_complex() or not 0 < tensor.numel() <= _MOST:
        return None
    if tensor.ndim == 1 and len(tensor) > 1:
        return partial(_bars, tensor)
    return {2: partial(_heat_map, tensor), 3: partial(_heat_maps, tensor)}.get(tensor.ndim)


def _heat_maps(matrices: Tensor) -> Pixels:
    """Those of (L, H, W), side by side."""
    maps = [_heat_map(matrix) for matrix in matrices]
    gap = np.full((maps[0].shape[0], _GAP, 3), 255, np.uint8)
    return np.concatenate([part for one in maps for part in (one, gap)][:-1], axis=1)


def _numbers(tensor: Tensor) -> NDArray[np.float64]:
    return tensor.double().nan_to_num(0.0, 0.0, 0.0).numpy()


def _shares(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Between 0, for 0 or what is least below it, and 1 for the largest."""
    low, high = min(0.0, values.min()), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def _heat_map(matrix: Tensor) -> Pixels:
    """White for 0, blue for the largest; with the numbers, where they have room."""
    from PIL import Image, ImageDraw

    shares = _shares(_numbers(matrix))
    height, width = shares.shape
    cell = max(1, min(48, _SIDE // max(height, width)))
    white, blue = np.array([255.0, 255, 255]), np.array([8.0, 48, 107])
    colors = (white + shares[..., None] * (blue - white)).round().astype(np.uint8)
    image = Image.fromarray(np.kron(colors, np.ones((cell, cell, 1), np.uint8)))
    if cell >= _READABLE:
        draw = ImageDraw.Draw(image)
        for (row, column), share in np.ndenumerate(shares):
            text = f"{matrix[row, column].item():.4g}"
            at = (column * cell + cell // 2, row * cell + cell // 2)
            draw.text(at, text, fill="white" if share > 0.5 else "black", anchor="mm")
    return np.asarray(image)


def _bars(values: Tensor) -> Pixels:
    from PIL import Image, ImageDraw

    shares = _shares(_numbers(values))
    width = max(1, min(32, _SIDE // len(shares)))
    image = Image.new("RGB", (width * len(shares), _PLOT), "white")
    draw = ImageDraw.Draw(image)
    for index, share in enumerate(shares):
        top = round((1 - share) * (_PLOT - 1))
        right = (index + 1) * width - (2 if width > 3 else 1)
        draw.rectangle((index * width, top, right, _PLOT - 1), fill=_COLORS[0])
    return np.asarray(image)


def _curves_in(value: Sequence[Any]) -> list[tuple[Tensor, Tensor]] | None:
    """The pairs of x and y; None where there are none."""
    if len(value) < 2:
        return None
    xs, ys = ([part] if isinstance(part, Tensor) else list(part) for part in value[:2])
    if xs and all(isinstance(x, Tensor) and x.ndim == 2 for x in (*xs, *ys)):
        xs, ys = list(torch.cat(xs)), list(torch.cat(ys))
    fit = len(xs) == len(ys) and all(
        isinstance(x, Tensor) and isinstance(y, Tensor) and x.ndim == 1 and x.shape == y.shape
        for x, y in zip(xs, ys, strict=True)
    )
    return list(zip(xs, ys, strict=True)) if fit and xs and all(map(len, xs)) else None


def _plot(curves: Sequence[tuple[Tensor, Tensor]]) -> Pixels:
    from PIL import Image, ImageDraw

    side = _PLOT + 2 * _MARGIN
    image = Image.new("RGB", (side, side), "white")
    draw = ImageDraw.Draw(image)
    corner = _MARGIN + _PLOT
    draw.rectangle((_MARGIN, _MARGIN, corner, corner), outline="gray")
    at_x = _scale([_numbers(x) for x, _ in curves])
    at_y = _scale([_numbers(y) for _, y in curves])
    for index, (x, y) in enumerate(zip(at_x, at_y, strict=True)):
        line = [(_MARGIN + a, corner - b) for a, b in zip(x, y, strict=True)]
        draw.line([(float(a), float(b)) for a, b in line], _COLORS[index % len(_COLORS)], width=2)
    return np.asarray(image)


def _scale(parts: Sequence[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """In pixels; from 0 to 1, where all lie there."""
    low = min(0.0, *(part.min() for part in parts))
    high = max(1.0, *(part.max() for part in parts))
    return [(part - low) / (high - low) * _PLOT for part in parts]
