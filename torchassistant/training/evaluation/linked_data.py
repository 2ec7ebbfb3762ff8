"""The evaluation data of pipelines that others feed: those are run in eval mode for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

from torch import nn

from torchassistant.data import FramesOfEpoch, MultiLoader
from torchassistant.frames import Frames
from torchassistant.training.batch_run import BatchRun, only_frames
from torchassistant.training.carrying import carrying
from torchassistant.training.pipeline import Pipeline


def evaluation_data_of(pipeline: Pipeline) -> MultiLoader:
    """The frames of evaluation of a pipeline, whatever feeds it."""
    return LinkedData(pipeline) if pipeline.links else pipeline.evaluation_data()


class LinkedData(MultiLoader):
    """Frames for a pipeline that others feed; the shortest data of all ends the pass.

    Args:
        pipeline: The pipeline.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__(pipeline.evaluation_data().ports, limit=pipeline.limit)
        self.links = pipeline.links
        names = dict.fromkeys(link.pipeline for link in self.links)
        self.sources = {name: pipeline.pipelines[name] for name in names}
        self.data = {name: evaluation_data_of(source) for name, source in self.sources.items()}
        self.runs = {
            name: BatchRun.for_evaluation(
                source.graph, source.precision, only_frames, partial(_reached, source)
            )
            for name, source in self.sources.items()
            if any(link.node is not None for link in self.links if link.pipeline == name)
        }

    def length(self) -> int | None:
        """See :meth:`MultiLoader.length`."""
        own = [super().length()] if not all(port.restarts for port in self.ports) else []
        lengths = [*own, *(data.length() for data in self.data.values())]
        known = [length for length in lengths if length is not None]
        return self._limited(min(known)) if len(known) == len(lengths) else None

    @property
    def can_be_left(self) -> bool:
        """A wait is not given up: what is random in a run could not be repeated."""
        return False

    def close(self) -> None:
        """End the workers that live on from pass to pass."""
        with ExitStack() as stack:
            stack.callback(super().close)
            for data in self.data.values():
                stack.callback(data.close)

    def frames(
        self, epoch: int, skipped: int = 0, state: Mapping[str, Any] | None = None
    ) -> FramesOfEpoch:
        """See :meth:`MultiLoader.frames`; a pass of evaluation is never begun in its middle."""
        return self._linked(super().frames(epoch, skipped, state), epoch)

    def _linked(self, own: FramesOfEpoch, epoch: int) -> FramesOfEpoch:
        with ExitStack() as stack:
            stack.enter_context(closing(own))
            passes = {
                name: stack.enter_context(closing(data.frames(epoch)))
                for name, data in self.data.items()
            }
            runs: dict[str, Callable[[Frames], Frames]] = {}
            for name, batches_run in self.runs.items():
                stack.enter_context(batches_run.mode())
                runs[name] = carrying(self.sources[name].graph, batches_run.run)
            for frames in own:
                met: dict[str, Frames] = {}
                for name, batches in passes.items():
                    found = next(batches, None)
                    if found is None:
                        return
                    met[name] = runs[name](found) if name in runs else found
                for link in self.links:
                    link.feed(frames, met[link.pipeline], self.sources[link.pipeline].graph)
                yield frames


def _reached(pipeline: Pipeline) -> Sequence[nn.Module]:
    return pipeline.reached
