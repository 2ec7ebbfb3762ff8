"""What a config says that a loss is a mean over: a column, or a function of what the loss gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from torchassistant.errors import DataError, blaming, near
from torchassistant.frames import Frame
from torchassistant.training.losses.loss_denominators import Count

NamedCount = Callable[[Frame, Sequence[Any], str], Any]
"""From a frame, what the loss gets from it, and what this is called in messages, to a number; or,
for a loss that gives a dict, to a dict of numbers.
"""


class CountOfColumn:
    """The sum of a column: of a mask, how often it is true.

    Args:
        column: Its name.
    """

    def __init__(self, column: str) -> None:
        self.column = column

    def __call__(self, frame: Frame, arguments: Sequence[Any], name: str) -> Count:
        if self.column not in frame:
            raise DataError(
                f'{name} is the column "{self.column}", which its frame lacks'
                + near(self.column, frame)
            )
        with blaming(name):
            return torch.as_tensor(frame[self.column]).sum()


class CountByFunction:
    """What a function gives for the arguments of the loss.

    Args:
        function: Gives one number, or one for each key of a dict.
        columns: Column by parameter, where it is called by keyword.
    """

    def __init__(
        self, function: Callable[..., Any], columns: Mapping[str, str] | None = None
    ) -> None:
        self.function = function
        self.columns = columns

    def __call__(self, frame: Frame, arguments: Sequence[Any], name: str) -> Any:
        with blaming(name):
            if self.columns is None:
                count = self.function(*arguments)
            else:
                count = self.function(**{key: frame[c] for key, c in self.columns.items()})
        return count if isinstance(count, Mapping) else as_count(count, name)


def as_count(value: Any, name: str) -> Count:
    """A number of terms.

    Raises:
        DataError: It is not one number.
    """
    if isinstance(value, torch.Tensor):
        if value.numel() == 1:
            return value.detach().reshape(())
        raise DataError(f"{name} must give one number; it gave shape {tuple(value.shape)}")
    if isinstance(value, (int, float)):
        return torch.tensor(value) if isinstance(value, float) else int(value)
    raise DataError(f"{name} must give one number; it gave {type(value).__name__}")
