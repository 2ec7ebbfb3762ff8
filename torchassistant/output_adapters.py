"""Output adapters: from the data frame that a batch processor ends with to the one it gives on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torchassistant.adapters import is_names_to_names, missing_column
from torchassistant.earlier_names import answering_for
from torchassistant.errors import DataError
from torchassistant.frames import Frame

__getattr__ = answering_for(__name__)


class IdentityAdapter:
    """Gives the frame on as it is."""

    def __call__(self, frame: Frame) -> Frame:
        """Return the frame itself."""
        return frame


class SelectVariables:
    """Keeps only some of the columns.

    Args:
        names: The names of the columns to keep, in the order to keep them in.

    Raises:
        ValueError: ``names`` is no list of names.
    """

    def __init__(self, names: Sequence[str]) -> None:
        if isinstance(names, str) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"names must be a list of column names, found {names!r}")
        self.names = list(names)

    def __call__(self, frame: Frame) -> Frame:
        """A frame of these columns; their values are not copied.

        Raises:
            DataError: The frame lacks one of them.
        """
        for name in self.names:
            if name not in frame:
                raise missing_column(name, frame, "SelectVariables is to keep the")
        return {name: frame[name] for name in self.names}


class RenameVariables:
    """Gives columns other names; the rest of the frame stays.

    Args:
        names: Old name to new name. Names may be exchanged: ``{"a": "b", "b": "a"}``.

    Raises:
        ValueError: ``names`` is not of that form, or gives one name to two columns.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        if not is_names_to_names(names):
            raise ValueError(f"names must map old column names to new ones, found {names!r}")
        if len(set(names.values())) < len(names):
            raise ValueError(f"two columns cannot get one name: {dict(names)}")
        self.names = dict(names)

    def __call__(self, frame: Frame) -> Frame:
        """The frame with the new names, in the order it has; values are not copied.

        Raises:
            DataError: The frame lacks a column that is to be renamed, or has another one of a new
                name.
        """
        for old, new in self.names.items():
            if old not in frame:
                raise missing_column(old, frame, "RenameVariables is to rename the")
            if new in frame and new not in self.names:
                raise DataError(
                    f'RenameVariables cannot call column "{old}" "{new}": '
                    "there is another column of that name"
                )
        return {self.names.get(name, name): value for name, value in frame.items()}
