"""From the frames of some inputs to the columns that somebody asked for."""

from __future__ import annotations

from collections.abc import Sequence

from torchassistant.data import derived, seeded
from torchassistant.errors import NoColumn, near
from torchassistant.frames import Frame, Frames
from torchassistant.graph import BatchGraph
from torchassistant.training.batch_run import BatchRun, only_frames
from torchassistant.training.pipeline import Pipeline
from torchassistant.training.progress import StopRequest


def infer(pipeline: Pipeline, frames: Frames, results: Sequence[str] | None) -> Frame:
    """Run a pipeline's graph on frames of its ports, for a prediction.

    Eval mode, no gradient; a model's ``run_inference`` is used where it has one.

    Args:
        pipeline: Whose graph.
        frames: A frame for each port.
        results: The columns to keep; None keeps the outputs of the nodes of the last processors.

    Raises:
        NoColumn: There is no such column.
    """
    graph = pipeline.graph
    for bring_up_to_date in graph.before_evaluation:
        bring_up_to_date(StopRequest())
    batches = BatchRun.for_inference(graph, pipeline.precision, only_frames)
    with seeded(derived(pipeline.seed, "inference")), batches.mode():
        return chosen(batches.run(frames), graph, results)


def chosen(frames: Frames, graph: BatchGraph, keys: Sequence[str] | None) -> Frame:
    """Columns of the processors' frames; a later processor wins over an earlier one.

    Without keys, the outputs of the nodes of the last processors, but for what these carry on.
    """
    columns = {k: v for name in graph.processors for k, v in frames[name].items()}
    columns |= {k: v for name in graph.leaves for k, v in frames[name].items()}
    if keys is None:
        outputs = [
            output
            for leaf in graph.leaves
            for node in graph.processors[leaf].nodes
            for output in node.outputs
            if output not in graph.carried_outputs
        ]
        keys = [name for name in outputs if name in columns] or list(columns)
    for key in keys:
        if key not in columns:
            message = f'the graph "{graph.name}" gives no column "{key}"{near(key, columns)}'
            raise NoColumn(message, key)
    return {key: columns[key] for key in keys}
