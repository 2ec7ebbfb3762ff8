"""From text to numbers and back, for inference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from examples.language_model.data import decoded, encoded
from torchassistant.errors import DataError


class Beginning:
    """Input converter: the characters of a text, as numbers, int64 (T,)."""

    def __call__(self, text: str) -> Tensor:
        """Convert.

        Raises:
            DataError: The text is empty.
        """
        if not text:
            raise DataError("a text needs a character to begin with; found none")
        return encoded(text)


class Written:
    """Postprocessor of inference: the text that the column ``scores`` holds.

    Args:
        session: What is trained; there is no use for it.
    """

    def __init__(self, session: Any) -> None:
        pass

    def __call__(self, columns: Mapping[str, Tensor]) -> str:
        """The text of one input, whose column is int64 (1, T)."""
        return decoded(columns["scores"][0].tolist())
