"""What became of the weights that a model began with, tensor by tensor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

from torchassistant.files import InvalidFile

Shape = tuple[int, ...]
Outcome = Literal["taken", "left out", "missing", "other shape"]


class WeightsRow(NamedTuple):
    """One tensor of a model or of a source.

    Args:
        name: Its name in the model, or what it would be.
        outcome: ``taken``; ``left out``, as the config says, or as the model has no such name;
            ``missing`` in all sources, so that it is as its class made it; or of an ``other shape``
            than the model's, and left out.
        source: Where it comes from; empty where it is missing.
        name_there: Its name there.
        shape: Its shape there; None where it is missing.
        shape_here: Its shape in the model; None where the model has no such name.
        why: A clause, where it is neither taken nor plainly missing.
    """

    name: str
    outcome: Outcome
    source: str = ""
    name_there: str = ""
    shape: Shape | None = None
    shape_here: Shape | None = None
    why: str = ""

    @property
    def shown(self) -> str:
        """Its name, with its shape."""
        if self.outcome == "other shape":
            return f"{self.name} {self.shape} in place of {self.shape_here}"
        return f"{self.name} {self.shape_here if self.shape is None else self.shape}"

    def data(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in zip(self._fields, self, strict=True)
        }


@dataclass(slots=True)
class TakenWeights:
    """What became of all of them; ``str`` gives it as a table for a person.

    Args:
        model: The name of the model.
        rows: The tensors: those of the sources in their order, then what is missing.
    """

    model: str
    rows: list[WeightsRow] = field(default_factory=list)

    def of(self, outcome: str) -> list[WeightsRow]:
        """The tensors with one outcome."""
        return [row for row in self.rows if row.outcome == outcome]

    @property
    def taken(self) -> list[WeightsRow]:
        """What the model has from a source."""
        return self.of("taken")

    @property
    def left_out(self) -> list[WeightsRow]:
        """What a source has, and the model did not get."""
        return self.of("left out")

    @property
    def missing(self) -> list[WeightsRow]:
        """What no source has, so that it is as its class made it."""
        return self.of("missing")

    @property
    def other_shape(self) -> list[WeightsRow]:
        """What has another shape in its source, so that it is as its class made it."""
        return self.of("other shape")

    def lines(self, most: int = 8) -> list[str]:
        """A line for each source and outcome, with at most so many names in it."""
        rows: dict[tuple[str, str, str], list[str]] = {}
        for row in self.rows:
            rows.setdefault((row.outcome, row.source, row.why), []).append(row.shown)
        lines = []
        for (outcome, source, why), shown in rows.items():
            count = f"{len(shown)} {'tensor' if len(shown) == 1 else 'tensors'}"
            said = f"{outcome}: {count}" + (f" of {source}" if source else "")
            said += f" ({why})" if why else ""
            if outcome != "taken":
                more = f", … and {len(shown) - most:,} more" if len(shown) > most else ""
                said += f": {', '.join(shown[:most])}{more}"
            lines.append(f'weights of "{self.model}": {said}')
        return lines

    def data(self) -> dict[str, Any]:
        """The same as plain data: ``said``, lines for a person, and ``tensors``, the rows."""
        return {"said": self.lines(), "tensors": [row.data() for row in self.rows]}

    def __str__(self) -> str:
        return "\n".join(self.lines(len(self.rows)))


def taken_weights_of(model: str, data: Any) -> TakenWeights:
    """What :meth:`TakenWeights.data` gave, for the model of this name.

    Raises:
        InvalidFile: It is something else.
    """
    rows = data.get("tensors") if isinstance(data, dict) else None
    if not isinstance(rows, list) or not all(map(_is_row, rows)):
        raise InvalidFile("holds no table of weights")
    return TakenWeights(
        model, [WeightsRow(**{k: _as_shape(v) for k, v in row.items()}) for row in rows]
    )


def _is_row(data: Any) -> bool:
    if not isinstance(data, dict) or data.keys() != {*WeightsRow._fields}:
        return False
    texts = ("name", "outcome", "source", "name_there", "why")
    return (
        all(isinstance(data[key], str) for key in texts)
        and data["outcome"] in get_args(Outcome)
        and all(_is_shape(data[key]) for key in ("shape", "shape_here"))
    )


def _is_shape(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(type(n) is int for n in value))


def _as_shape(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
