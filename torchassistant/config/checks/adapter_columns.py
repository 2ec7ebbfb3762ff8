"""What the adapters of ours around a neural graph do to the columns."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from torchassistant.config.checks.resolver import Names, Use
from torchassistant.config.checks.scope import Scope
from torchassistant.config.checks.unknown import Unknown
from torchassistant.config.checks.view import View
from torchassistant.config.search_paths import our_class
from torchassistant.config.tree import Path


@dataclass(frozen=True)
class Columns:
    """What is known of the columns of a frame.

    Args:
        names: Columns that it has.
        complete: Whether it has no others.
    """

    names: frozenset[str]
    complete: bool

    def lacks(self, name: str) -> bool:
        """Whether it certainly has no such column."""
        return self.complete and name not in self.names


class Need(NamedTuple):
    """A column that something needs.

    Args:
        column: Its name.
        message: What is to be said where it is not there.
        path: Where its name stands.
        frame: What it has to be in.
    """

    column: str
    message: str
    path: Path
    frame: Columns


class Argument(NamedTuple):
    """The first argument of an object, by position or by name, and where it stands."""

    value: Any
    path: Path


class Adapters:
    """The adapters of one batch processor.

    Args:
        scope: The spec.
        spec: The processor.
    """

    def __init__(self, scope: Scope, spec: View) -> None:
        self.scope = scope
        self.spec = spec
        self.where = "the frame" if spec.block.input_adapter is None else "the input adapter"

    # Into the nodes

    @cached_property
    def selected(self) -> Argument | None:
        """What ``SelectInputs`` gives: node → input → column; None for any other adapter."""
        found = self.argument("input_adapter", "SelectInputs", "nodes")
        if found is None or not isinstance(found.value, dict):
            return None
        tables = all(_is_names_to_names(columns) for columns in found.value.values())
        return found if tables else None

    def given_to(self, node: View, frame: Columns) -> Columns | None:
        """What a node gets from outside; None where that cannot be said."""
        if self.spec.input_adapter is None:
            return frame
        name = self.scope.node_name(node)
        is_given = name in self.by_node or not any(isinstance(n, Unknown) for n in self.by_node)
        if self.selected is None or isinstance(name, Unknown) or not is_given:
            return None
        return Columns(frozenset(self.by_node.get(name, ())), True)

    @cached_property
    def by_node(self) -> dict[Any, Collection[str]]:
        """The inputs that ``SelectInputs`` gives to each node; reported where it names others."""
        if self.selected is None:
            return {}
        given = self.selected.value
        uses = {name: Use(name, (*self.selected.path, name), True) for name in given}
        names = [self.scope.node_name(node) for node in self.spec.neural_graph.all()]
        known = dict.fromkeys(name for name in names if not isinstance(name, Unknown))
        if not known.keys() <= given.keys():
            self.scope.resolver.resolve(
                Names(known, sum(isinstance(name, Unknown) for name in names)),
                uses.values(),
                lambda name, hint: f'"{name}" is not a node of this processor{hint}',
            )
        return {self.scope.resolver.meaning(uses[name]): inputs for name, inputs in given.items()}

    # What is asked for, and what goes on

    def asked_of(self, frame: Columns, whole: Columns) -> list[Need]:
        """The columns that the adapters name.

        Args:
            frame: What comes in.
            whole: The same with the outputs of the nodes.
        """
        needs = []
        if self.selected is not None:
            for node, inputs in self.selected.value.items():
                for name, column in inputs.items():
                    message = (
                        f'the column "{column}", for the input "{name}" of "{node}", is not there'
                    )
                    needs.append(Need(column, message, (*self.selected.path, node, name), frame))
        for argument, does in ((self.kept, "selects"), (self.renamed, "renames")):
            if argument is None:
                continue
            path, by_name = argument.path, isinstance(argument.value, dict)
            for index, name in enumerate(argument.value):
                message = f'the column "{name}", which the output adapter {does}, is not there'
                needs.append(Need(name, message, (*path, name if by_name else index), whole))
        return needs

    def given_on(self, frame: Columns) -> Columns:
        """The frame behind the output adapter."""
        adapter = self.spec.output_adapter
        if adapter is None or _short(adapter, "output_adapter") == "IdentityAdapter":
            return frame
        asked = self.kept or self.renamed
        if asked is None or any(frame.lacks(name) for name in asked.value):
            return _UNKNOWN
        if self.kept is not None:
            return Columns(frozenset(self.kept.value), True)
        if self.renamed is not None:
            names = {self.renamed.value.get(name, name) for name in frame.names}
            return Columns(frozenset(names), frame.complete)
        return _UNKNOWN

    @cached_property
    def kept(self) -> Argument | None:
        """The columns that ``SelectVariables`` keeps."""
        found = self.argument("output_adapter", "SelectVariables", "names")
        return found if found is not None and _is_names(found.value) else None

    @cached_property
    def renamed(self) -> Argument | None:
        """The columns that ``RenameVariables`` renames."""
        found = self.argument("output_adapter", "RenameVariables", "names")
        return found if found is not None and _is_names_to_names(found.value) else None

    def argument(self, key: str, short: str, name: str) -> Argument | None:
        """The first argument of an adapter, where it is the one of this name and can be read."""
        adapter = getattr(self.spec, key)
        if not isinstance(adapter, View) or not adapter.is_whole():
            return None
        args, kwargs = adapter.block.args, adapter.block.kwargs
        if _short(adapter, key) != short:
            return None
        if args:
            return Argument(args[0], adapter.at("args", 0))
        return Argument(kwargs[name], adapter.at("kwargs", name)) if name in kwargs else None


_UNKNOWN = Columns(frozenset(), False)


def _short(adapter: Any, role: str) -> str:
    """The short name of a class of ours; empty for any other object."""
    return our_class(adapter.class_, role) if isinstance(adapter.class_, str) else ""


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_names_to_names(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(name, str) for name in value.values())
