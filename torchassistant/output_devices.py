"""Output devices: where results of inference and of debug pipelines go. Called with the data.

One that takes ``input`` beside the data is told, in inference, what the data is a prediction for:
the text of the input, or a dict of texts by port where the ports are several. One that takes
``several`` is told whether more than one prediction is made.

In Python they write where you say. What a config names is written below the working directory or
the session folder alone, unless ``--allow-write`` allows another one.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from torchassistant.earlier_names import answering_for
from torchassistant.errors import DataError
from torchassistant.whole_files import make_folder, naming
from torchassistant.writing import WritesFiles, Writing, mark, new_file, safe_in_file_names

__getattr__ = answering_for(__name__)

_PRINTED_WHOLE = 1000
"""Tensors of more elements are described, not printed: nobody reads that many numbers."""

_GAP = 2
"""Black pixels between the images of a grid."""


class Printer:
    """Prints to standard output.

    A dict gives one ``name: value`` a line, a list of texts one text a line. Tensors are printed as
    lists, floating-point numbers with six significant digits; a tensor of more than a thousand
    elements is described by its shape, dtype and range. Where there are several predictions, each
    says its input: ``input: line``, or the input and below it, indented, the lines.
    """

    def __call__(
        self, data: Any, *, input: str | Mapping[str, str] | None = None, several: bool = False
    ) -> None:
        """Print the data, whatever it is."""
        lines = _lines(data)
        if input is not None and several:
            label = f"{_input_text(input)}:"
            lines = (
                [f"{label} {lines[0]}"] if len(lines) == 1 else [label, *map("  {}".format, lines)]
            )
        print("\n".join(lines), flush=True)


def _input_text(given: str | Mapping[str, str]) -> str:
    return given if isinstance(given, str) else ", ".join(given.values())


def _lines(data: Any) -> list[str]:
    if isinstance(data, Mapping):
        return [f"{name}: {_text(value)}" for name, value in data.items()]
    if isinstance(data, list | tuple) and data and all(isinstance(item, str) for item in data):
        return list(data)
    return [_text(data)]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Tensor):
        return _tensor_text(value)
    return _inner_text(value)


def _inner_text(value: Any) -> str:
    """A value inside a list or dict, where texts stand in quotes."""
    if isinstance(value, Tensor):
        return _tensor_text(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_inner_text, value)) + "]"
    if isinstance(value, Mapping):
        pairs = (f"{_inner_text(key)}: {_inner_text(item)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def _tensor_text(tensor: Tensor) -> str:
    tensor = tensor.detach()
    if tensor.numel() <= _PRINTED_WHOLE:
        return _inner_text(tensor.tolist())
    described = f"tensor {tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
    if tensor.dtype.is_complex:
        return described
    low, high = (_inner_text(bound.item()) for bound in tensor.aminmax())
    return f"{described}, {low} to {high}"


class SaveImages(WritesFiles):
    """Saves images as PNG files, those of a batch in one grid.

    The files are named ``000001.png`` and so on, after the highest number that is there; a dict
    gives one file a key, ``000001-KEY.png``, all of one number. A file appears under its name only
    when it is whole, and takes the place of no other.

    Args:
        folder: Where to; made when the first image is saved. Relative to the working folder.
        columns: How many images stand side by side in a grid.
        prefix: What the file names start with.

    Raises:
        ValueError: ``columns`` is less than 1, or ``prefix`` contains a path separator.
    """

    names_place = "folder"

    def __init__(self, folder: str | Path, columns: int = 8, prefix: str = "") -> None:
        if columns < 1:
            raise ValueError(f"columns must be at least 1, found {columns}")
        if re.search(r"[/\\]", prefix):
            raise ValueError(f"prefix must not contain a path separator, found {prefix!r}")
        self.folder = Path(folder)
        self.columns = columns
        self.prefix = prefix

    def keep_to(self, writing: Writing) -> None:
        """Write below what a config may write to; the prefix counts as a part of names."""
        self.place = writing.folder(self.folder)
        writing.folder(self.folder / f"{self.prefix}000001.png")

    def __call__(
        self,
        data: Tensor | Mapping[str, Tensor],
        *,
        input: str | Mapping[str, str] | None = None,
    ) -> None:
        """Save images; where they are the prediction for an input, print it and their files.

        Args:
            data: A tensor (H, W), (C, H, W) or (B, C, H, W) with C of 1, 3 or 4, or a dict of such.
                Floating-point values are brightness from 0 to 1, and cut off there (NaN is black);
                uint8 values run from 0 to 255; bool is black or white.
            input: What they are the prediction for.

        Raises:
            DataError: The data is something else; then nothing is saved.
            NotWritten: The folder takes no image.
        """
        if isinstance(data, Mapping) and len({safe_in_file_names(key) for key in data}) < len(data):
            raise DataError(f"two of the names {list(data)} give the same file name")
        found = images_of(data, "SaveImages", self.columns)
        suffixes = [f"-{safe_in_file_names(key)}" if key else "" for key in found]
        images = dict(zip(suffixes, found.values(), strict=True))
        with naming(self.folder), self._opened() as folder:
            names = self._saved(images, folder)
        if input is not None:
            files = ", ".join(str(self.folder / name) for name in names)
            print(f"{_input_text(input)}: {files}", flush=True)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """The folder, open; it is made where it is missing."""
        if self.place is not None:
            with self.place.opened() as folder:
                yield folder
            return
        make_folder(self.folder)
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield folder
        finally:
            os.close(folder)

    def _saved(self, images: Mapping[str, bytes], folder: int) -> list[str]:
        """The names under which images were saved, all of one number that nobody has."""
        number = self._next_number(folder)
        while True:
            names = [f"{self.prefix}{number:06d}{suffix}.png" for suffix in images]
            done: list[str] = []
            try:
                for name, image in zip(names, images.values(), strict=True):
                    _put(image, name, folder)
                    done.append(name)
                return names
            except FileExistsError:  # another process saves images here
                for name in done:
                    os.unlink(name, dir_fd=folder)
                number += 1

    def _next_number(self, folder: int) -> int:
        pattern = re.compile(re.escape(self.prefix) + r"(\d{6,})(-.*)?\.png")
        found = (pattern.fullmatch(name) for name in os.listdir(folder))
        return 1 + max((int(match[1]) for match in found if match), default=0)


def images_of(data: Any, who: str, columns: int = 8) -> dict[str, bytes]:
    """The images of a result as PNG files, those of a batch in one grid.

    Args:
        data: As :class:`SaveImages` takes it.
        who: Wants them, for messages.
        columns: How many stand side by side in a grid.

    Returns:
        The files by the keys of a dict; a tensor has the key "".

    Raises:
        DataError: The data is something else.
    """
    if not isinstance(data, Mapping):
        return {"": _as_png(_grid(_image_batch(data, "", who), columns))}
    batches = {str(key): _image_batch(data[key], f'"{key}": ', who) for key in data}
    return {key: _as_png(_grid(images, columns)) for key, images in batches.items()}


def _grid(images: Tensor, columns: int) -> Tensor:
    """All images of (B, C, H, W) in one: uint8 (H, W) or (H, W, C)."""
    count, channels, height, width = images.shape
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    grid = torch.zeros(
        channels,
        rows * (height + _GAP) - _GAP,
        columns * (width + _GAP) - _GAP,
        dtype=torch.uint8,
    )
    for index, image in enumerate(images):
        top = index // columns * (height + _GAP)
        left = index % columns * (width + _GAP)
        grid[:, top : top + height, left : left + width] = image
    return grid[0] if channels == 1 else grid.permute(1, 2, 0).contiguous()


def _as_png(grid: Tensor) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(grid.numpy()).save(file, format="PNG")
    return file.getvalue()


def _put(data: bytes, name: str, folder: int) -> None:
    """A new file in an open folder, which appears under its name when it is whole.

    Raises:
        FileExistsError: There is something of this name.
    """
    aside = f".{name}.{os.getpid()}.part"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(aside, dir_fd=folder)
    try:
        _write(data, aside, folder)
        try:
            # Not renamed: that would replace what has the name.
            os.link(aside, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_SECOND_NAMES:
                raise
            _write(data, name, folder)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside, dir_fd=folder)


_NO_SECOND_NAMES = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
"""What file systems answer that know one name for a file."""


def _write(data: bytes, name: str, folder: int) -> None:
    try:
        with open(new_file(folder, name), "wb") as file:
            file.write(data)
    except FileExistsError:
        raise
    except BaseException:
        os.unlink(name, dir_fd=folder)
        raise


def _image_batch(value: Any, place: str, who: str) -> Tensor:
    """uint8 (B, C, H, W) on the CPU."""
    if not isinstance(value, Tensor):
        raise DataError(f"{place}{who} needs a tensor, found {type(value).__name__}")
    shape = tuple(value.shape)
    if not (len(shape) == 2 or (len(shape) in (3, 4) and shape[-3] in (1, 3, 4))):
        raise DataError(
            f"{place}{who} needs a shape (H, W), (C, H, W) or (B, C, H, W) with 1, 3 or 4 "
            f"channels C, found {shape}"
        )
    if 0 in shape:
        raise DataError(f"{place}{who} was given no pixels: shape {shape}")
    images = value.detach().cpu()
    while images.ndim < 4:
        images = images.unsqueeze(0)
    if images.dtype == torch.bool:
        return images.to(torch.uint8) * 255
    if images.dtype.is_floating_point:
        return images.float().nan_to_num(0.0).clamp(0, 1).mul(255).round().to(torch.uint8)
    if images.dtype != torch.uint8:
        raise DataError(
            f"{place}{who} needs floating-point or uint8 values, "
            f"found {str(images.dtype).removeprefix('torch.')}"
        )
    return images


class JsonLines(WritesFiles):
    """Appends the data to a file, as JSON, one line a call, in UTF-8.

    Tensors and arrays become lists, numbers that JSON does not have (NaN, infinity) become null.
    A prediction is an object: ``input``, and the columns; or, where the data is no dict or has an
    ``input`` of its own, ``input`` and ``result``.

    Args:
        path: The file; it and its folder are made when the first line is written. Where a config
            names it, it ends in ``.jsonl``, ``.ndjson``, ``.json``, ``.txt`` or ``.log``, and one
            that is there already has to be of this class.
    """

    names_place = "path"
    suffixes = (".jsonl", ".ndjson", ".json", ".txt", ".log")

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def keep_to(self, writing: Writing) -> None:
        """Write a file that a config may write to, with a name that runs nowhere."""
        self.place = writing.file(self.path, self.suffixes)

    def __call__(self, data: Any, *, input: str | Mapping[str, str] | None = None) -> None:
        """Append one line.

        Args:
            data: What is written.
            input: What it is the prediction for.

        Raises:
            DataError: The data holds something that JSON cannot; then nothing is written.
            NotWritten: The file takes no line.
        """
        if input is not None:
            is_apart = not isinstance(data, Mapping) or "input" in data
            data = {"input": input, "result": data} if is_apart else {"input": input, **data}
        line = json.dumps(jsonable(data, "the data"), ensure_ascii=False, allow_nan=False) + "\n"
        with naming(self.path), self._opened() as file:
            # One write of whole bytes: lines of several processes do not mix.
            left = memoryview(line.encode("utf-8", errors="backslashreplace"))
            while left:
                left = left[os.write(file, left) :]

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """The file, open to append to it."""
        if self.place is not None:
            with self.place.appending() as file:
                yield file
            return
        make_folder(self.path.parent)
        with self.path.open("ab", buffering=0) as opened:
            if opened.tell() == 0:
                mark(opened.fileno())
            yield opened.fileno()


def jsonable(value: Any, place: str) -> Any:
    """A value as JSON has it: tensors and arrays are lists, and what is not finite is null.

    Args:
        value: What is written.
        place: What it is called in messages.

    Raises:
        DataError: JSON has no such thing.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): jsonable(item, f"{place}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item, f"{place}[{index}]") for index, item in enumerate(value)]
    raise DataError(f"{place} is of type {type(value).__name__}, which cannot be written as JSON")
