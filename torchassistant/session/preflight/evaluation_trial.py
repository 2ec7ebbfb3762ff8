"""One batch of a pipeline as it is evaluated, and of a debug pipeline."""

from __future__ import annotations

from contextlib import suppress

from torchassistant.callbacks import Samples
from torchassistant.config import Path
from torchassistant.session.preflight.findings import Findings, path_of_pipeline
from torchassistant.session.preflight.first_batches import FirstBatches, NoDataYet
from torchassistant.session.preflight.losses import Losses, measure
from torchassistant.session.preflight.node_watch import NodeWatch
from torchassistant.training import (
    BatchRun,
    DebugPipeline,
    Pipeline,
    chosen,
    evaluating_step,
    only_frames,
)


class EvaluationTrial:
    """Evaluates one batch of pipelines.

    Args:
        found: Gets the problems.
        batches: Reads the batches.
        watch: Notes what nodes do.
    """

    def __init__(self, found: Findings, batches: FirstBatches, watch: NodeWatch) -> None:
        self.found = found
        self.batches = batches
        self.watch = watch

    def run(self, pipeline: Pipeline) -> None:
        """Evaluate a pipeline on one batch."""
        whole = f'the evaluation of the pipeline "{pipeline.name}"'
        batch = BatchRun.for_evaluation(
            pipeline.graph,
            pipeline.precision,
            Losses(pipeline, self.found).of_batch,
            lambda: pipeline.reached,
            self.watch.of(pipeline, []),
        )
        with self.found.blamed(pipeline, whole), suppress(NoDataYet), batch.mode():
            frames = self.batches.for_evaluation(pipeline)
            if pipeline.eval_step is None:
                batch.run(frames)
            else:
                self.found.at = (*path_of_pipeline(pipeline), "eval_step")
                evaluating_step(pipeline)(frames, 0)
            measure(pipeline, frames, self.found)

    def samples(self, callback: Samples, path: Path) -> None:
        """Look at one example as a callback would, and keep nothing."""
        self.found.at, self.found.fed = path, None
        with self.found.problem_of("what the callback keeps"):
            callback.rows(self.found.session, most=1)

    def debug(self, debug: DebugPipeline) -> None:
        """Run one batch of a debug pipeline, without showing it."""
        path: Path = ("initialize", "debug_pipelines", debug.name)
        self.found.at = path
        batch = BatchRun.for_evaluation(debug.graph, debug.precision, only_frames)
        with self.found.problem_of(f'the debug pipeline "{debug.name}"'), batch.mode():
            frames = self.batches.for_debugging(debug, path)
            if frames is not None:
                self.found.at = (*path, "output_keys")
                chosen(batch.run(frames), debug.graph, debug.keys)
