"""The number that must not get much worse, and how it is measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torchassistant.assembly import mode_of
from torchassistant.config import StageEvaluatorSpec, origin_of
from torchassistant.errors import ConfigError, near
from torchassistant.session import Session
from torchassistant.training import StopRequest


@dataclass(frozen=True, slots=True)
class Monitored:
    """How a monitor is measured.

    Args:
        name: The column.
        pipelines: What is evaluated for it.
        evaluators: Likewise.
        mode: What is better.
        graph: The pipeline whose models are made smaller.
    """

    name: str
    pipelines: Sequence[str]
    evaluators: Sequence[StageEvaluatorSpec]
    mode: Literal["min", "max"]
    graph: str

    def value(self, session: Session, stop: StopRequest | None = None) -> float:
        """Measure it.

        Raises:
            ConfigError: There is no such number.
        """
        found = session.evaluate(list(self.pipelines), 1.0, None, stop, self.evaluators)
        value = found.get(self.name)
        if not isinstance(value, float | int):
            names = [name for name, one in found.items() if isinstance(one, float | int)]
            raise ConfigError(f'nothing gives "{self.name}"{near(self.name, names)}')
        return float(value)

    def worse_by(self, value: float, before: float) -> float:
        """By how much a value is worse than another; infinite where it is no number."""
        difference = value - before if self.mode == "min" else before - value
        return difference if math.isfinite(difference) else math.inf


def monitored(session: Session, name: str, mode: Literal["min", "max"] | None) -> Monitored:
    """Find out how a monitor is measured.

    Args:
        session: Has pipelines and evaluators.
        name: A column: a display name, ``NAME/KEY``, or ``EVALUATOR/KEY``.
        mode: What is better of it; None: as its loss or metric says.

    Raises:
        ConfigError: Nothing gives it, or nothing says what is better.
    """
    spec = session.spec
    order = [*spec.default_validation, *session.pipelines]
    shown = {p: session.pipelines[p].display_names for p in dict.fromkeys(order)}
    for pipeline, names in shown.items():
        found = next((n for n in names if name == n or name.startswith(f"{n}/")), None)
        if found is None:
            continue
        is_loss = found in session.pipelines[pipeline].evaluated_losses
        better = mode or ("min" if is_loss else mode_of(session.builder, name, [pipeline]))
        return Monitored(name, [pipeline], [], _known(name, better), pipeline)
    for entry in spec.default_evaluators:
        if name.startswith(f"{entry.evaluator}/"):
            graph = next(iter(spec.default_validation), None)
            if graph is None:
                raise ConfigError("the last stage has no validation pipeline")
            return Monitored(name, [], [entry], _known(name, mode), graph)
    known = [one for names in shown.values() for one in names]
    raise ConfigError(f'nothing gives "{name}"{near(name, known)}')


def _known(name: str, mode: Literal["min", "max"] | None) -> Literal["min", "max"]:
    if mode is None:
        raise ConfigError(f'nothing says what is better of "{name}": give --mode min or --mode max')
    return mode


def models_to_compress(session: Session, pipeline: str) -> list[str]:
    """The models that the nodes of a pipeline run, or that those are parts or averages of."""
    nodes = {id(node.model) for node in session.pipelines[pipeline].graph.nodes}
    specs = session.spec.group("models")
    run = [name for name, model in session.models.items() if id(model) in nodes]
    return list(dict.fromkeys(origin_of(name, specs) for name in run))
