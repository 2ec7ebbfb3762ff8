"""Post-processors of inference: from the columns of a prediction to what a person reads.

Each is made with the session, and called with a dict of the columns of one input, in batches of
one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from torchassistant.errors import DataError, listing, near
from torchassistant.preprocessors import TextTokenizer
from torchassistant.tabular import Categories


class BestClass:
    """The class with the highest score, by its name.

    Args:
        session: Has the datasets and preprocessors.
        column: The column with the scores of one input: (1, C) or (C,).
        names: The names of the classes in their order; or the name of a dataset that has them as
            ``classes``, as torchvision's do, or of a preprocessor ``Categories``, whose values
            they are. Left out: a class is a number from 0.

    Raises:
        DataError: There is no such dataset or preprocessor, or it has no names of classes.
    """

    def __init__(self, session: Any, column: str, names: Sequence[str] | str | None = None) -> None:
        self.column = column
        self.names: list[Any] | None = None
        if isinstance(names, str):
            self.names = _names_in(session, names)
        elif names is not None:
            self.names = list(names)

    def __call__(self, columns: Mapping[str, Tensor]) -> Any:
        """The name of the class, or its number.

        Raises:
            DataError: The column is missing, is of several inputs, or has other classes.
        """
        scores = _column(columns, self.column)
        if scores.ndim == 0 or scores.numel() != scores.shape[-1] or not scores.numel():
            shape = tuple(scores.shape)
            raise DataError(f'"{self.column}" must be the scores of one input, found shape {shape}')
        if self.names is None:
            return int(scores.argmax())
        if scores.numel() != len(self.names):
            raise DataError(
                f'"{self.column}" has scores of {scores.numel()} classes, and there are names of '
                f"{len(self.names)}"
            )
        return self.names[int(scores.argmax())]


class DecodedText:
    """The text that numbers of words stand for.

    Args:
        session: Has the preprocessors.
        column: The column with the numbers of one input: int64 (1, T) or (T,).
        tokenizer: The preprocessor ``TextTokenizer`` that knows the words.

    Raises:
        DataError: There is no such preprocessor.
    """

    def __init__(self, session: Any, column: str, tokenizer: str) -> None:
        self.column = column
        known = session.preprocessors
        if tokenizer not in known:
            raise DataError(f'no preprocessor is named "{tokenizer}"{near(tokenizer, known)}')
        if not isinstance(known[tokenizer], TextTokenizer):
            found = type(known[tokenizer]).__name__
            raise DataError(f'"{tokenizer}" must be a TextTokenizer; found {found}')
        self.tokenizer: TextTokenizer = known[tokenizer]

    def __call__(self, columns: Mapping[str, Tensor]) -> str:
        """The words, up to the end of the text.

        Raises:
            DataError: The column is missing, is of several inputs, or holds other numbers.
        """
        numbers = _column(columns, self.column)
        if numbers.ndim == 0 or numbers.numel() != numbers.shape[-1]:
            shape = tuple(numbers.shape)
            raise DataError(f'"{self.column}" must be the text of one input, found shape {shape}')
        return self.tokenizer.decode(numbers.reshape(-1))


def _names_in(session: Any, name: str) -> list[Any]:
    """The names of classes that a dataset or a preprocessor of a session knows."""
    if name in session.preprocessors:
        found = session.preprocessors[name]
        if isinstance(found, Categories):
            return [found.decode(index) for index in range(len(found))]
    elif name in session.datasets:
        classes = getattr(session.datasets[name], "classes", None)
        if isinstance(classes, list | tuple):
            return list(classes)
    else:
        known = [*session.datasets.keys(), *session.preprocessors.keys()]
        raise DataError(f'no dataset and no preprocessor is named "{name}"{near(name, known)}')
    raise DataError(
        f'"{name}" knows no names of classes: that is a dataset with a list "classes", or a '
        'preprocessor Categories; "names" can be a list of them'
    )


def _column(columns: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in columns:
        raise DataError(f'there is no column "{name}"; there are {listing(list(columns))}')
    if not isinstance(columns[name], Tensor):
        raise DataError(f'the column "{name}" is no tensor')
    return columns[name].detach()
