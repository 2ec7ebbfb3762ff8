"""From scores to the name of a class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


class Shape:
    """Postprocessor of inference: the class with the highest score, by the name of its folder.

    Args:
        session: The trained session, whose dataset knows the names.
    """

    def __init__(self, session: Any) -> None:
        self.names: list[str] = session.datasets["training_files"].classes

    def __call__(self, columns: Mapping[str, Tensor]) -> str:
        """The class of one image, whose column ``scores`` is (1, 3)."""
        return self.names[int(columns["scores"].argmax())]
