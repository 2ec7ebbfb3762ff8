"""Looks at the models in the middle of training, which leave no trace in it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from torchassistant.data import MultiLoader, derived, object_rngs_seeded, seeded
from torchassistant.errors import UserCodeError, UserError
from torchassistant.frames import Frame, Frames
from torchassistant.graph import BatchGraph
from torchassistant.training.batch_run import BatchRun, only_frames
from torchassistant.training.carrying import carrying
from torchassistant.training.evaluation.inference import chosen
from torchassistant.training.evaluation.linked_data import evaluation_data_of
from torchassistant.training.pipeline import Pipeline
from torchassistant.training.precision import Precision
from torchassistant.training.progress import StopRequest
from torchassistant.training.state_guard import unchanged


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What was seen of one batch.

    Args:
        number: Its place in the look, from 0.
        indices: Of each of its examples in their dataset; of a stream, how many came before.
        result: The columns that were asked for by name, or what a post-processor made of them.
    """

    number: int
    indices: Sequence[Any]
    result: Any


def batches_seen(
    graph: BatchGraph,
    data: Callable[[], MultiLoader],
    rng_holders: Mapping[str, Any],
    precision: Precision,
    seed: int,
    limit: int | None,
) -> Generator[tuple[int, list[Any], Frames], None, None]:
    """Run a graph over some batches; afterwards everything is as it was.

    Args:
        graph: Runs in eval mode, without gradient.
        data: Gives what feeds it.
        rng_holders: Whatever draws random numbers from a generator of its own.
        precision: Of the forward passes.
        seed: What all random numbers follow from.
        limit: The number of batches; None: all.

    Yields:
        The number of each batch, the indices of its examples, and its frames. While somebody has
        them, global generators are those of the look.
    """
    for bring_up_to_date in graph.before_evaluation:
        bring_up_to_date(StopRequest())
    batches = BatchRun.for_evaluation(graph, precision, only_frames)
    run_batch = carrying(graph, batches.run)
    done = 0
    with (
        unchanged(rng_holders, lightly=True),
        closing(data()) as source,
        seeded(seed),
        object_rngs_seeded(rng_holders, seed),
        batches.mode(),
        closing(source.frames(0)) as batches_of_pass,
    ):
        for number, frames in enumerate(islice(batches_of_pass, limit)):
            count = next(iter(frames.counts.values()))
            try:
                run_batch(frames)
            except (UserError, UserCodeError) as error:
                raise source.explained(error, [number], frames) from error.__cause__
            yield number, source.indices_of(number, count, done), frames
            done += count


def looks_at_pipeline(
    pipeline: Pipeline, columns: Sequence[str] | None, step: int
) -> Generator[Look, None, None]:
    """The batches of the data of a pipeline, in its own order, with what its graph gives.

    Args:
        pipeline: What is run.
        columns: Those that are wanted; None: all of the data, and what its last processors give.
        step: Of training; random numbers follow from the seed, the name of the pipeline, the step.

    Raises:
        NoColumn: There is no such column.
        UserCodeError: The user's code raised.
    """
    whole = [replace(one, factory=one.factory.keeping_all()) for one in pipeline.inputs]
    own = replace(pipeline, inputs=whole)
    seed = derived(pipeline.seed, "look", pipeline.name, step)
    parts = [part for p in own.graph.processors.values() for part in p.parts]
    holders = own.rng_holders | {f"part {i}": part for i, part in enumerate(parts)}
    seen = batches_seen(
        own.graph, lambda: evaluation_data_of(own), holders, own.precision, seed, None
    )
    with closing(seen):
        for number, indices, frames in seen:
            yield Look(number, indices, _columns(frames, own.graph, columns))


def _columns(frames: Frames, graph: BatchGraph, columns: Sequence[str] | None) -> Frame:
    made = chosen(frames, graph, columns)
    if columns is not None:
        return made
    ports = [frame for name, frame in frames.items() if name not in graph.processors]
    return {**{name: value for frame in ports for name, value in frame.items()}, **made}
