"""What pipelines and evaluators of a session measure, as a person asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torchassistant.assembly import Builder, evaluators_of
from torchassistant.config import StageEvaluatorSpec
from torchassistant.errors import ConfigError, near
from torchassistant.parallel import World
from torchassistant.session.evaluation.kept_predictions import keep_results, kept
from torchassistant.training import Pipeline, Reporter, StopRequest, evaluate, unchanged


class Measuring:
    """An evaluation of a session, ready to be run.

    Args:
        builder: Has built the parts of the session.
        pipelines: The names of those that are evaluated.
        eval_steps: A count of batches or a fraction of them, or a table of those by name.
        evaluators: Entries as of a stage.

    Raises:
        ConfigError: There is no such pipeline, or two show something by one name.
    """

    def __init__(
        self,
        builder: Builder,
        pipelines: Sequence[str],
        eval_steps: float | Mapping[str, Any],
        evaluators: Sequence[StageEvaluatorSpec],
    ) -> None:
        known = builder.parts.pipelines
        _expect_own_names(pipelines, known)
        self.pipelines = [known[name] for name in pipelines]
        self.eval_steps = eval_steps
        self.evaluators = evaluators_of(builder, evaluators, ("evaluators",))

    def run(
        self,
        reporter: Reporter,
        stop: StopRequest | None,
        folder: Path | None = None,
        world: World | None = None,
    ) -> dict[str, Any]:
        """What is measured, by display name.

        Args:
            reporter: Is called for every batch, and closed.
            stop: Ends the evaluation early.
            folder: Where the predictions and the results are kept; None: they are not.
            world: Those that evaluate together; None: this process alone.
        """
        results: dict[str, Any] = {}
        try:
            for pipeline in self.pipelines:
                with kept(pipeline, folder) as add:
                    steps = self._steps_of(pipeline.name)
                    found = evaluate(pipeline, steps, reporter, stop, add, world)
                results |= {**found.numbers, **found.data}
            with unchanged({one.name: one.function for one in self.evaluators}):
                for one in self.evaluators:
                    results |= one.run(stop or StopRequest(), [reporter])
        finally:
            reporter.close()
        if folder is not None:
            keep_results(folder, results)
        return results

    def _steps_of(self, pipeline: str) -> Any:
        steps = self.eval_steps
        return steps.get(pipeline, 1.0) if isinstance(steps, Mapping) else steps


def _expect_own_names(names: Sequence[str], known: Mapping[str, Pipeline]) -> None:
    owner: dict[str, str] = {}
    for name in names:
        if name not in known:
            raise ConfigError(f'no pipeline is named "{name}"{near(name, known)}')
        for shown in known[name].display_names:
            other = owner.setdefault(shown, name)
            if other != name:
                raise ConfigError(
                    f'"{shown}" is shown by "{other}" and by "{name}"; '
                    "give one another display name"
                )
