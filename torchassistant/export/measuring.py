"""The metrics of a pipeline, computed of what a file gives for its data, beside torch's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from torchassistant.errors import ConfigError
from torchassistant.export.exportable import Exportable
from torchassistant.export.exported_graph import Tensors, leaves
from torchassistant.export.verification import Run
from torchassistant.frames import Frames
from torchassistant.graph import BatchGraph, Plan, Watched
from torchassistant.training import BatchRun, Pipeline, Precision, chosen, evaluate, only_frames


@dataclass(frozen=True, slots=True)
class Measured:
    """What a pipeline measures.

    Args:
        torch: Of the models in torch, in float32, by display name.
        file: Of the file.
    """

    torch: Mapping[str, float]
    file: Mapping[str, float]

    @property
    def lines(self) -> list[str]:
        """The numbers side by side."""
        width = max((len(name) for name in self.file), default=0)
        return [
            f"{name:<{width}}  {value:.6g} in the file, {self.torch[name]:.6g} in torch"
            for name, value in self.file.items()
        ]


def measured(pipeline: Pipeline, exportable: Exportable, run: Run) -> Measured:
    """Evaluate a pipeline twice over all its data: in torch, and with a file.

    Args:
        pipeline: With its losses and metrics; its models compute in float32.
        exportable: What the file was made of.
        run: Runs the file.

    Raises:
        ConfigError: It measures nothing, or by columns that the file does not give.
    """
    if pipeline.eval_step is not None:
        raise ConfigError(
            f'the pipeline "{pipeline.name}" has an "eval_step" of its own, which a file has not; '
            "leave --metric out"
        )
    # A prediction is not what losses are made for.
    losses = [] if exportable.by_inference else [x for x in pipeline.losses if not x.models]
    if not losses and not pipeline.metrics:
        raise ConfigError(f'the pipeline "{pipeline.name}" measures nothing; leave --metric out')
    plain = replace(pipeline, losses=losses, precision=Precision())
    by_torch, by_file = (
        evaluate(replace(plain, graph=_MeasuredGraph(plain, exportable, runs)))
        for runs in (None, run)
    )
    return Measured(by_torch.numbers, by_file.numbers)


class _MeasuredGraph(BatchGraph):
    """A graph whose outputs are a file's, for evaluation."""

    def __init__(self, pipeline: Pipeline, exportable: Exportable, run: Run | None) -> None:
        graph = pipeline.graph
        super().__init__(graph.name, graph.processors, graph.ports, graph.edges, graph.called)
        self.plan = _MeasuredPlan(pipeline, exportable, run)

    def for_evaluation(self, watched: Watched | None = None) -> Plan:
        """A plan that runs the file too."""
        return self.plan


class _MeasuredPlan(Plan):
    """Runs a graph in torch, and puts a file's outputs in the place of torch's."""

    def __init__(self, pipeline: Pipeline, exportable: Exportable, run: Run | None) -> None:
        super().__init__([], set(), pipeline.graph.origins)
        self.pipeline = pipeline
        self.exportable = exportable
        self.by_file = run
        method = BatchRun.for_inference if exportable.by_inference else BatchRun.for_evaluation
        runs: BatchRun[Frames] = method(pipeline.graph, Precision(), only_frames)
        self.by_torch = runs.run
        self.state: Tensors = {}
        self.is_checked = False

    def run(self, frames: Frames) -> Frames:
        """See :class:`Plan`."""
        given = Frames({port: dict(frame) for port, frame in frames.items()}, frames.counts)
        is_first = len(getattr(frames, "carried", {})) == 0
        made = self.by_torch(frames)
        if self.by_file is None:
            return made
        if is_first:
            self.state = self.exportable.first_state(given)
        outputs = self.by_file(self.exportable.inputs_of(given) | self.state)
        wiring = self.exportable.module.wiring
        if wiring.state is not None:
            carried = zip(wiring.state.inputs, wiring.state.outputs, strict=True)
            self.state = {name: outputs[output] for name, output in carried}
        columns = chosen(made, self.pipeline.graph, wiring.results)
        names = {
            id(value): key
            for name, column in columns.items()
            for key, value in leaves(name, column)
        }
        self._expect_given(given, made, names)
        for frame in made.values():
            for column, value in frame.items():
                if isinstance(value, Tensor) and id(value) in names:
                    frame[column] = outputs[names[id(value)]]
        return made

    def _expect_given(self, given: Frames, made: Frames, names: Mapping[int, str]) -> None:
        """What is measured reads data, and outputs of the file, and nothing that torch computed."""
        if self.is_checked:
            return
        self.is_checked = True
        data = {id(value) for frame in given.values() for value in frame.values()}
        scores: list[tuple[str, Any]] = [(m.node, m.metric) for m in self.pipeline.metrics]
        scores += [(one.node, one.loss) for one in self.pipeline.losses]
        for node, score in scores:
            for column in score.inputs:
                value = made[node].get(column)
                if id(value) not in names and id(value) not in data:
                    raise ConfigError(
                        f'{score.name} reads "{column}", which the file does not give; '
                        '"results" of an inference config, or --set, names the columns to keep'
                    )
