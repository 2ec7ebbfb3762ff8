"""Batches of a pipeline's data, of the sizes at which a file is verified."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice

import torch

from torchassistant.data import derived, object_rngs_seeded, seeded
from torchassistant.errors import DataError
from torchassistant.frames import Frame, Frames
from torchassistant.training import DataPass, Pipeline, StopRequest, evaluation_data_of

SIZES = (1, 2, 7)
"""Examples of a batch: one, two, and a prime, which divides nothing."""


_LOOKED_AT = 16
"""Examples among which batches are looked for whose sizes differ, as those of padded texts."""


def sample_batches(pipeline: Pipeline, sizes: Sequence[int] = SIZES) -> list[Frames]:
    """Batches of a pipeline's evaluation data, one for each size.

    The last one is the first of the data; each other is the one, of the first few, in which most
    axes have other sizes than in those, so that an axis of any size is seen to be one. Where the
    data has fewer examples, or comes in whole batches, rows are repeated or left out.

    Raises:
        DataError: The data gives no batch.
        UserCodeError: The user's code raised.
    """
    *others, last = sizes
    made = [_sized(_first_frames(_in_batches_of(pipeline, last), 1)[0], last)]
    seen: set[tuple[str, str, int]] = set()
    for size in reversed(others):
        found = _first_frames(_in_batches_of(pipeline, size), max(1, _LOOKED_AT // size))
        choice = [_sized(frames, size) for frames in found]
        new = [_differing(frames, made[-1]) - seen for frames in choice]
        best = max(range(len(choice)), key=lambda index: len(new[index]))
        seen |= new[best]
        made.insert(0, choice[best])
    return made


def _differing(frames: Frames, reference: Frames) -> set[tuple[str, str, int]]:
    """The axes, but those of the examples, that have other sizes than in a reference."""
    return {
        (port, name, axis)
        for port, frame in frames.items()
        for name, value in frame.items()
        if isinstance(value, torch.Tensor) and isinstance(reference[port].get(name), torch.Tensor)
        for axis, (size, other) in enumerate(
            zip(value.shape, reference[port][name].shape, strict=False)
        )
        if size != other and (size, other) != (frames.counts[port], reference.counts[port])
    }


def _in_batches_of(pipeline: Pipeline, size: int) -> Pipeline:
    inputs = [replace(one, factory=one.factory.in_batches_of(size)) for one in pipeline.inputs]
    names = {link.pipeline for link in pipeline.links}
    sources = {name: _in_batches_of(pipeline.pipelines[name], size) for name in names}
    return replace(pipeline, inputs=inputs, pipelines={**pipeline.pipelines, **sources})


def _first_frames(pipeline: Pipeline, most: int) -> list[Frames]:
    """The first batches, as many as there are, and at most so many."""
    data = evaluation_data_of(pipeline)
    seed = derived(pipeline.seed, "export")
    with (
        closing(data),
        seeded(seed),
        object_rngs_seeded(pipeline.rng_holders, seed),
        closing(DataPass(data, StopRequest())) as data_pass,
    ):
        data_pass.start(0)
        found = list(islice(iter(data_pass.next, None), most))
    if not found:
        raise DataError(f'the data of the pipeline "{pipeline.name}" gives no batch')
    return found


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
