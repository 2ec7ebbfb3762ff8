"""The first batch of a pipeline, read in this process."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import NoReturn

from torchassistant.config import Path
from torchassistant.data import MultiLoader
from torchassistant.frames import Frames
from torchassistant.session.preflight.column_shapes import ColumnShapes
from torchassistant.session.preflight.findings import Fed, Findings, path_of_pipeline
from torchassistant.training import (
    BatchRun,
    DebugPipeline,
    InputSource,
    Pipeline,
    evaluation_data,
    only_frames,
)


class NoDataYet(Exception):
    """A pipeline has no batch, and what runs before the epochs of its stage may give it some."""


class FirstBatches:
    """Reads first batches.

    Args:
        found: Learns where the preflight is, and what the next run is fed with.
        shapes: Learns the shapes of columns.
        filled_later: Pipelines whose data may be made before each epoch.

    Attributes:
        lengths: For each pipeline its batches an epoch; None where its data does not say.
    """

    def __init__(
        self, found: Findings, shapes: ColumnShapes, filled_later: Collection[str]
    ) -> None:
        self.found = found
        self.shapes = shapes
        self.filled_later = filled_later
        self.lengths: dict[str, int | None] = {}

    def for_training(self, pipeline: Pipeline) -> Frames:
        """The first frame of each port, as in training."""
        return self._of(pipeline, Pipeline.training_data)

    def for_evaluation(self, pipeline: Pipeline) -> Frames:
        """The first frame of each port, as in evaluation."""
        return self._of(pipeline, Pipeline.evaluation_data)

    def for_debugging(self, debug: DebugPipeline, path: Path) -> Frames | None:
        """The first frames of a debug pipeline; None where its data has none."""
        data = evaluation_data([_in_process(source) for source in debug.inputs], debug.seed)
        frames = next(data.frames(0), None)
        if frames is not None:
            self._feed(data, frames, path)
        return frames

    def _of(self, pipeline: Pipeline, data_of: Callable[[Pipeline], MultiLoader]) -> Frames:
        found = self.found
        found.at = path = path_of_pipeline(pipeline)
        found.fed = None
        data = data_of(replace(pipeline, inputs=[_in_process(one) for one in pipeline.inputs]))
        if pipeline.ends_by_itself:
            self.lengths[pipeline.name] = data.length()
        frames = Frames()
        for index, port in enumerate(data.ports):
            found.at = (*path, "input_factories", index)
            first = next(MultiLoader([port]).frames(0), None)
            if first is None:
                message = f'the loader factory "{port.source}" gives no batch'
                if pipeline.name in self.filled_later:
                    self._pass_over(message)
                raise found.error(message, found.at)
            frames.update(first)
            frames.counts.update(first.counts)
        for link in pipeline.links:
            source = pipeline.pipelines[link.pipeline]
            met = self._met(source, data_of, runs=link.node is not None)
            found.at = (*path, "input_factories")
            link.feed(frames, met, source.graph)
        self.shapes.note_ports(pipeline, frames)
        self._feed(data, frames, path)
        return frames

    def _pass_over(self, message: str) -> NoReturn:
        """Warn, once, of a pipeline that is not tried."""
        self.found.warn_once(
            f'{message} yet, so that nothing is tried with it; the "run_before_epoch" of its stage '
            "may make some",
            self.found.at,
        )
        raise NoDataYet

    def _met(
        self, source: Pipeline, data_of: Callable[[Pipeline], MultiLoader], runs: bool
    ) -> Frames:
        """What a pipeline that feeds another has met."""
        frames = self._of(source, data_of)
        if runs:
            BatchRun.for_evaluation(source.graph, source.precision, only_frames).run(frames)
        return frames

    def _feed(self, data: MultiLoader, frames: Frames, path: Path) -> None:
        as_read = Frames(frames, frames.counts)
        self.found.fed = Fed(data, as_read, (*path, "input_factories"))


def _in_process(source: InputSource) -> InputSource:
    return replace(source, factory=source.factory.in_process())
