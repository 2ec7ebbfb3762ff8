"""What the rows within an epoch tell of, since the last one: a state of the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from torchassistant.training.gradient_norms import GradientNorms
from torchassistant.training.losses.running_losses import RunningLosses
from torchassistant.training.pipeline import Pipeline

Means = Mapping[str, tuple[float, float]]


class StepLog:
    """The losses of each training pipeline since the last row, and each optimizer's last norm.

    What is on a GPU stays there until a row is due, or the state is saved.

    Args:
        every: A row is due after each iteration, counted over all stages, that this divides.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.norms: dict[str, float | torch.Tensor] = {}
        self._losses: dict[str, RunningLosses] = {}
        self._stored: dict[str, Means] = {}
        """Of pipelines that are not trained yet since a state was loaded."""

    def is_due(self, iteration: int) -> bool:
        """Whether there is a row after an iteration, by its number over all stages, from 1."""
        return iteration % self.every == 0

    def start_stage(self) -> None:
        """A stage begins: nothing was measured in it."""
        self.norms, self._losses, self._stored = {}, {}, {}

    def losses_of(self, losses: RunningLosses) -> RunningLosses:
        """The means since the last row of what also goes into other means.

        Args:
            losses: Those of a training pipeline over its epoch.
        """
        name = losses.pipeline.name
        means = losses.anew()
        means.start(self._means().get(name, {}))
        self._losses[name] = means
        return means

    def norms_of(self, pipeline: Pipeline, steps_always: bool) -> GradientNorms:
        """A listener that notes the gradient norms of a pipeline.

        Args:
            pipeline: It is trained.
            steps_always: Whether it makes a step in each iteration. Then only that of an iteration
                with a row is looked at; else any may be the last one before a row.
        """
        wanted = self.is_due if steps_always else _always
        return GradientNorms(pipeline, self._note, wanted)

    def _note(self, optimizer: str, norm: torch.Tensor) -> None:
        self.norms[optimizer] = norm

    def take(self) -> tuple[dict[tuple[str, str], float], dict[str, float]]:
        """What was measured since the last row; the next one begins here.

        Returns:
            The mean of each loss, by (pipeline, display name), where there was a batch; and the
            norm of the gradients of each optimizer's last step, by its name, where it made one.
        """
        losses = {
            (pipeline, name): value
            for pipeline, means in self._losses.items()
            for name, value in means.measured().items()
        }
        norms = {name: float(norm) for name, norm in self.norms.items()}
        for means in self._losses.values():
            means.start({})
        self.norms = {}
        return losses, norms

    def state_dict(self) -> dict[str, Any]:
        """The state: ``losses``, by pipeline and display name, and ``norms``."""
        norms = {name: float(norm) for name, norm in self.norms.items()}
        return {"losses": self._means(), "norms": norms}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            ValueError: It is none.
        """
        has_losses = _is_table(state.get("losses"), _is_means)
        if not (has_losses and _is_table(state.get("norms"), _is_number)):
            raise ValueError("it has no losses and norms since the last row")
        self.start_stage()
        self._stored, self.norms = dict(state["losses"]), dict(state["norms"])

    def _means(self) -> dict[str, Means]:
        return {**self._stored, **{name: m.state() for name, m in self._losses.items()}}


def _always(iteration: int) -> bool:
    return True


def _is_table(value: Any, fits: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(key, str) and fits(item) for key, item in value.items()
    )


def _is_means(value: Any) -> bool:
    return _is_table(value, _is_pair)


def _is_pair(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_is_number, value))


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)
