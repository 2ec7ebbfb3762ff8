"""Input converters: from a word of the command line to a value. Called with the string.

A folder stands for its files where the converter cannot take it itself. One that reads files of
some kinds only says so in ``suffixes``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch

from torchassistant.errors import DataError

_MODES = ("1", "L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F")


class Text:
    """Takes the string as it is."""

    def __call__(self, text: str) -> str:
        """Return the string itself."""
        return text


class ImageFile:
    """Takes the string as the path of an image file, and opens it.

    Args:
        mode: The colours to convert to, in the words of PIL: ``L`` for grey, ``RGB``, ``RGBA``, …
        size: ``[height, width]`` in pixels, or one number for a square, to scale the image to. None
            leaves it as it is.

    Raises:
        ValueError: ``mode`` is none of PIL's, or ``size`` is not one or two whole numbers from 1.
    """

    def __init__(self, mode: str = "L", size: int | Sequence[int] | None = None) -> None:
        if mode not in _MODES:
            raise ValueError(f"mode must be one of {', '.join(_MODES)}; found {mode!r}")
        if isinstance(size, int):
            size = (size, size)
        if size is not None and not _is_size(size):
            raise ValueError(f"size must be [height, width] in pixels, found {size!r}")
        self.mode = mode
        self.size = None if size is None else (size[0], size[1])

    @property
    def suffixes(self) -> frozenset[str]:
        """The endings of the files that it reads, in lower case, with their dot."""
        from PIL import Image

        readable = Image.registered_extensions().items()
        return frozenset(ending for ending, kind in readable if kind in Image.OPEN)

    def __call__(self, text: str) -> Any:
        """Read the file at this path into an image of PIL.

        Raises:
            DataError: There is no such file, it cannot be read, or it is no image.
        """
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(text) as file:
                image = file.convert(self.mode)
        except FileNotFoundError:
            raise DataError(f"there is no file {text}") from None
        except UnidentifiedImageError:
            raise DataError(f"{text} is not an image that can be read") from None
        # PIL answers damaged files with all of these, according to the format.
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise DataError(f"{text} cannot be read as an image: {error}") from None
        if self.size is None:
            return image
        height, width = self.size
        return image.resize((width, height), Image.Resampling.BILINEAR)


def _is_size(value: object) -> bool:
    return (
        isinstance(value, tuple | list)
        and len(value) == 2
        and all(type(number) is int and number > 0 for number in value)
    )


class JsonValue:
    """Takes the string as JSON; lists of numbers become tensors.

    A list of numbers, or of lists of numbers of one length, however deep, becomes a float32 tensor
    of that shape, wherever in the value it stands. Empty lists stay lists.
    """

    def __call__(self, text: str) -> Any:
        """Parse the string.

        Raises:
            DataError: It is no JSON, or holds an integer that is too large for a float.
        """
        try:
            return _with_tensors(json.loads(text))
        except json.JSONDecodeError as error:
            raise DataError(
                f"the input is not valid JSON: {error.msg} at character {error.pos + 1} of "
                f"{text if len(text) <= 60 else text[:60] + '…'}"
            ) from None
        except (OverflowError, RuntimeError, ValueError) as error:
            raise DataError(f"the input cannot be converted: {error}") from None


def _with_tensors(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_tensors(item) for key, item in value.items()}
    if not isinstance(value, list) or not value:
        return value
    if all(type(item) in (int, float) for item in value):
        return torch.tensor(value, dtype=torch.float32)
    items = [_with_tensors(item) for item in value]
    shapes = {item.shape if isinstance(item, torch.Tensor) else None for item in items}
    return torch.stack(items) if len(shapes) == 1 and None not in shapes else items
