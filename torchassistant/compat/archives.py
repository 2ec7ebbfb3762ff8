"""What torchvision keeps private of how its datasets unpack what they have fetched."""

from __future__ import annotations

from typing import Any

_DECOMPRESS = "_decompress"


def unpacking_functions(utils: Any) -> tuple[str, ...]:
    """Private names in ``torchvision.datasets.utils`` by which a dataset unpacks a file.

    Private: ``_decompress``, which the dataset ``PCAM`` calls, in torchvision 0.25 to 0.29.

    Without it: none; what the public functions unpack is known all the same.
    """
    return (_DECOMPRESS,) if hasattr(utils, _DECOMPRESS) else ()
