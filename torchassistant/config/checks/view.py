"""A config as the checks see it: blocks that know where they stand, and what of them is unknown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from torchassistant.config.blocks import Block
from torchassistant.config.checks.resolver import Resolver, Use
from torchassistant.config.checks.unknown import Unknown
from torchassistant.config.tree import Path


class View:
    """A block of the config, and where it stands.

    Its fields are those of the block: a block is a view again, a list is :class:`Items`, a name is
    what it means. What cannot be relied on is :class:`Unknown`; so is what the block lacks, where
    a key of it is not known, and may be what was meant.

    Args:
        block: The block, repaired and completed.
        path: Where it stands.
        resolver: Knows what is reported, and what names mean.
    """

    def __init__(self, block: Any, path: Path, resolver: Resolver) -> None:
        self.block = block
        self.path = path
        self.resolver = resolver

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.block, name)
        field = type(self.block).model_fields.get(name)
        return value if field is None else self._seen(value, field.alias or name)

    def _seen(self, value: Any, key: str) -> Any:
        if value is None and not self.complete:
            return Unknown()
        return seen(value, self.at(key), self.resolver)

    def at(self, *keys: str | int) -> Path:
        """The path of something in it."""
        return (*self.path, *keys)

    @property
    def complete(self) -> bool:
        """Whether each of its keys is known."""
        return self.path not in self.resolver.diagnostics.dropped

    def is_whole(self, *keys: str | int) -> bool:
        """Whether all of it, or all that stands at a path in it, can be relied on."""
        return self.resolver.diagnostics.is_whole(self.at(*keys))

    def has(self, key: str) -> bool:
        """Whether the config itself has a key here, and it was not filled in."""
        return self.resolver.diagnostics.is_written(self.at(key))

    def use(self, name: str) -> Use:
        """What stands in it, as it is written, and where."""
        field = type(self.block).model_fields[name]
        return Use(getattr(self.block, name), self.at(field.alias or name))


class Items:
    """A list of the config: gives the items that can be read, each with its path.

    Items that are blocks are views; plain ones are given as :class:`Use`.

    Args:
        written: The items, repaired.
        path: Where the list stands.
        resolver: Knows what is reported, and what names mean.
        keys: Of the items in the config; None: their places in a list.
    """

    def __init__(
        self,
        written: list[Any],
        path: Path,
        resolver: Resolver,
        keys: Sequence[str] | None = None,
    ) -> None:
        self.written = written
        self.path = path
        self.resolver = resolver
        self.keys: Sequence[str | int] = range(len(written)) if keys is None else keys

    def all(self) -> list[Any]:
        """Every item: a view, or what a name means; unknown where it cannot be read."""
        places = zip(self.keys, self.written, strict=True)
        return [seen(item, (*self.path, key), self.resolver) for key, item in places]

    def __iter__(self) -> Iterator[Any]:
        for key, item in zip(self.keys, self.all(), strict=True):
            if isinstance(item, View):
                yield item
            elif not isinstance(item, Unknown):
                yield Use(item, (*self.path, key))

    def __bool__(self) -> bool:
        return bool(self.written)

    @property
    def names(self) -> list[str]:
        """What is meant by each name in the list that can be read."""
        return [use.name for use in self]

    @property
    def unreadable(self) -> int:
        """How many items cannot be read."""
        return sum(isinstance(item, Unknown) for item in self.all())

    @property
    def complete(self) -> bool:
        """Whether each item can be read."""
        return not self.unreadable

    def uses(self) -> list[Use]:
        """Every item as it is written."""
        return [
            Use(item, (*self.path, key)) for key, item in zip(self.keys, self.written, strict=True)
        ]

    def repeated(self) -> Iterator[Use]:
        """The items that stand further up in the list already."""
        earlier: set[Any] = set()
        for use in self.uses():
            if use.name in earlier:
                yield use
            earlier.add(use.name)


def columns_in(view: View, key: str) -> Any:
    """The names that a block gives as a list, or as the values of an object: see :class:`Items`."""
    value = getattr(view, key)
    if not isinstance(value, dict):
        return value
    return Items(list(value.values()), view.at(key), view.resolver, list(value))


def outputs_of(node: View) -> Any:
    """The names of all that a node gives, its taps among them: see :class:`Items`."""
    outputs = columns_in(node, "outputs")
    if not isinstance(outputs, Items):
        return outputs
    if not isinstance(node.taps, dict):
        return node.taps  # what is unknown of them, is unknown of all
    return _WithKeys(outputs, node.block.taps, node.at("taps"))


class _WithKeys:
    """Items, and after them the keys of an object."""

    def __init__(self, items: Items, keys: Iterable[str], path: Path) -> None:
        self.items = items
        self.more = [Use(key, (*path, key), at_key=True) for key in keys]

    def __iter__(self) -> Iterator[Any]:
        yield from self.items
        yield from self.more

    @property
    def complete(self) -> bool:
        """Whether each name can be read."""
        return self.items.complete


def seen(value: Any, path: Path, resolver: Resolver) -> Any:
    """A value of the config as the checks see it: see :class:`View`."""
    value = resolver.meaning(Use(value, path))
    if isinstance(value, Block):
        return View(value, path, resolver)
    return Items(value, path, resolver) if isinstance(value, list) else value
