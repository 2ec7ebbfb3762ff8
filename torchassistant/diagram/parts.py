"""A training graph as plain data: what is drawn, without where and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal[
    "data", "adapter", "model", "object", "loss", "metric", "step", "sum", "optimizer", "output"
]
"""What a box stands for; ``object`` is a batch processor, ``step`` a step, of the user's own."""

State = Literal["trained", "fixed", "frozen", "average", ""]
"""What becomes of a model where it stands: ``fixed`` is not trained by this pipeline, ``frozen``
by the stage; empty where nothing is trained."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column that goes from one box to another.

    Args:
        name: Its name there.
        shape: Its shape in the first batch, as ``64×10``; empty where it is not known.
    """

    name: str
    shape: str = ""

    @property
    def text(self) -> str:
        """Its name and shape."""
        return f"{self.name} {self.shape}".rstrip()


@dataclass(frozen=True, slots=True)
class Box:
    """One thing in a picture.

    Args:
        id: Unique in the picture.
        kind: What it stands for.
        title: Its name.
        lines: What else is to be known of it.
        group: The batch processor that it is a part of, if any.
        state: What becomes of its model.
        model: The model whose weights it has, if any; the whole, where it is a part.
        calls: Models that a loss calls.
        count: How many equal things it stands for.
    """

    id: str
    kind: Kind
    title: str
    lines: tuple[str, ...] = ()
    group: str | None = None
    state: State = ""
    model: str | None = None
    calls: tuple[str, ...] = ()
    count: int = 1

    @property
    def models(self) -> tuple[str, ...]:
        """The models that it runs."""
        return self.calls if self.model is None else (self.model, *self.calls)


@dataclass(frozen=True, slots=True)
class Link:
    """What goes from one box to another.

    Args:
        source: The id of the one.
        target: The id of the other.
        columns: The columns that go this way; none for what is no column.
        is_carried: Whether it goes to the next batch.
        note: What is said beside it, as the weight of a loss.
    """

    source: str
    target: str
    columns: tuple[Column, ...] = ()
    is_carried: bool = False
    note: str = ""

    @property
    def lines(self) -> list[str]:
        """What stands beside it."""
        return [*(column.text for column in self.columns), *([self.note] if self.note else [])]


@dataclass(frozen=True, slots=True)
class Panel:
    """One pipeline, or several that run the same graph on the same columns.

    Args:
        id: Unique in the picture.
        title: The names of its pipelines.
        lines: What is done with each, and when.
        boxes: In the order in which they run.
        links: Between them.
    """

    id: str
    title: str
    lines: tuple[str, ...]
    boxes: tuple[Box, ...]
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Diagram:
    """A training graph.

    Args:
        title: What it is of.
        panels: Its pipelines.
        shared: The models that stand in several boxes, each with a letter for it.
    """

    title: str
    panels: Sequence[Panel]
    shared: dict[str, str] = field(default_factory=dict)
