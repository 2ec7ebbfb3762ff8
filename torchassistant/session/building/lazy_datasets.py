"""The datasets of a session that was opened without data, each built when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torchassistant.assembly import Builder
from torchassistant.config import Key
from torchassistant.errors import DataError, UserCodeError, cause_of


class DatasetsOnDemand(dict[str, Any]):
    """All datasets of the config by name; one that nobody asks for needs none of its files.

    Args:
        builder: Builds them; those that it has built are here already.
    """

    def __init__(self, builder: Builder) -> None:
        super().__init__(builder.parts.datasets)
        self.builder = builder
        self.names = [key.name for key in builder.definitions if key.group == "datasets"]

    def __missing__(self, name: str) -> Any:
        if name not in self.names:
            raise KeyError(name)
        try:
            self.builder.build([Key("datasets", name)])
        except UserCodeError as error:
            why = cause_of(error)
            said = f"{type(why).__name__}: {why}"
            message = f'the dataset "{name}" is needed, and cannot be built: {said}'
            raise DataError(message) from error
        return dict.__getitem__(self, name)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def get(self, name: str, default: Any = None) -> Any:
        """The dataset of this name, or the default where none is defined."""
        return self[name] if name in self.names else default

    def keys(self) -> Any:
        """All names, in the order of the config."""
        return dict.fromkeys(self.names).keys()

    def values(self) -> Any:
        """All datasets; they are built."""
        return [self[name] for name in self.names]

    def items(self) -> Any:
        """All names with their datasets; they are built."""
        return [(name, self[name]) for name in self.names]
