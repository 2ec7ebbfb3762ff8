"""Batches of a pipeline's data, of the sizes at which a file is verified."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import torch

from torchassistant.data import derived, object_rngs_seeded, seeded
from torchassistant.errors import DataError
from torchassistant.frames import Frame, Frames
from torchassistant.training import DataPass, Pipeline, StopRequest, evaluation_data_of

SIZES = (1, 2, 7)
"""Examples of a batch: one, two, and a prime, which divides nothing."""


def sample_batches(pipeline: Pipeline, sizes: Sequence[int] = SIZES) -> list[Frames]:
    """The first batches of a pipeline's evaluation data, one for each size.

    Where the data has fewer examples, or comes in whole batches, rows are repeated or left out.

    Raises:
        DataError: The data gives no batch.
        UserCodeError: The user's code raised.
    """
    return [_sized(_first_frames(_in_batches_of(pipeline, size)), size) for size in sizes]


def _in_batches_of(pipeline: Pipeline, size: int) -> Pipeline:
    inputs = [replace(one, factory=one.factory.in_batches_of(size)) for one in pipeline.inputs]
    names = {link.pipeline for link in pipeline.links}
    sources = {name: _in_batches_of(pipeline.pipelines[name], size) for name in names}
    return replace(pipeline, inputs=inputs, pipelines={**pipeline.pipelines, **sources})


def _first_frames(pipeline: Pipeline) -> Frames:
    data = evaluation_data_of(pipeline)
    seed = derived(pipeline.seed, "export")
    with (
        closing(data),
        seeded(seed),
        object_rngs_seeded(pipeline.rng_holders, seed),
        closing(DataPass(data, StopRequest())) as data_pass,
    ):
        data_pass.start(0)
        frames = data_pass.next()
    if frames is None:
        raise DataError(f'the data of the pipeline "{pipeline.name}" gives no batch')
    return frames


def _sized(frames: Frames, size: int) -> Frames:
    """Frames of so many examples: their rows, repeated where there are too few."""
    if all(count == size for count in frames.counts.values()):
        return frames
    made: dict[str, Frame] = {}
    for port, frame in frames.items():
        count = frames.counts[port]
        rows = torch.arange(size) % count
        made[port] = {
            name: value[rows]
            if isinstance(value, torch.Tensor) and _rows(value) == count
            else value
            for name, value in frame.items()
        }
    return Frames(made, dict.fromkeys(made, size))


def _rows(value: torch.Tensor) -> int | None:
    return value.shape[0] if value.ndim else None


@dataclass(frozen=True, slots=True)
class Axes:
    """The axes of an input that are of no fixed size.

    Args:
        batch: Those that have as many places as there are examples.
        varying: Those that differ from batch to batch, or were asked for.
    """

    batch: tuple[int, ...]
    varying: tuple[int, ...] = ()


def axes_of(values: Sequence[torch.Tensor], counts: Sequence[int], name: str) -> Axes:
    """Which axes of an input differ from batch to batch, and how.

    Args:
        values: The input in several batches.
        counts: The numbers of their examples.
        name: Of the input, for messages.

    Raises:
        DataError: Its number of axes differs.
    """
    shapes = [tuple(value.shape) for value in values]
    if len({len(shape) for shape in shapes}) > 1:
        raise DataError(f'the input "{name}" has different numbers of axes: {shapes}')
    sizes = list(zip(*shapes, strict=True))
    batch = tuple(a for a, found in enumerate(sizes) if found == tuple(counts))
    varying = (a for a, found in enumerate(sizes) if a not in batch and len(set(found)) > 1)
    return Axes(batch, tuple(varying))
