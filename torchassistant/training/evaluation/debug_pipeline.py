"""A look at the models in the middle of training, which leaves no trace in it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from torchassistant.data import MultiLoader, derived, generators_in
from torchassistant.errors import UserCodeError, blaming
from torchassistant.graph import BatchGraph
from torchassistant.output_devices import images_of
from torchassistant.training.evaluation.inference import chosen
from torchassistant.training.evaluation.looks import Look, batches_seen
from torchassistant.training.events import Listener, Live
from torchassistant.training.pipeline import InputSource, evaluation_data, rng_holders_of
from torchassistant.training.precision import Precision
from torchassistant.training.progress import Progress


def _keep_nothing(name: str, image: bytes) -> None:
    """Nobody wants the image."""


@dataclass(frozen=True, slots=True, eq=False)
class DebugPipeline:
    """Runs a graph every so often, without gradient, and hands some columns to a device.

    Args:
        name: For messages, and for its random numbers.
        graph: What is run, in eval mode.
        inputs: What feeds each port; read from its beginning each time.
        iterations: Batches that are run each time.
        interval: It runs every so many iterations of training.
        keys: The columns that are passed on.
        postprocessor: Called with those columns; None passes them on as they are.
        device: Called with the result; None: nobody is.
        seed: What its random numbers follow from.
        precision: Of its forward passes.
        is_logged: Whether its images are kept with the history.
    """

    name: str
    graph: BatchGraph
    inputs: Sequence[InputSource]
    iterations: int
    interval: int
    keys: Sequence[str]
    postprocessor: Callable[[dict[str, Any]], Any] | None
    device: Callable[[Any], Any] | None
    seed: int
    precision: Precision = field(default_factory=Precision)
    is_logged: bool = False

    def run(self, step: int, keep: Callable[[str, bytes], None] = _keep_nothing) -> None:
        """Run, at a step of training; random numbers follow from the seed, the name, the step.

        Args:
            step: It is done.
            keep: Called with the name of each image and its PNG file, where it is logged.
        """
        with closing(self.looks(step)) as looks:
            for look in looks:
                with self._blamed(), blaming("what is done with the results"):
                    if self.is_logged:
                        for name, image in self._images(look.number, look.result):
                            keep(name, image)
                    if self.device is not None:
                        self.device(look.result)

    def looks(self, step: int) -> Generator[Look, None, None]:
        """What it gives for each batch, at a step of training; nobody is handed it.

        Raises:
            UserCodeError: The user's code raised.
            UserError: The data does not fit.
        """
        parts = [part for p in self.graph.processors.values() for part in p.parts]
        holders = rng_holders_of(self.inputs) | {f"part {i}": part for i, part in enumerate(parts)}
        # Of the post-processor what it draws from, and not what else it keeps, as a counter.
        holders |= generators_in({"postprocessor": self.postprocessor})
        seed = derived(self.seed, "debug", self.name, step)
        seen = batches_seen(self.graph, self._data, holders, self.precision, seed, self.iterations)
        with self._blamed(), closing(seen):
            for number, indices, frames in seen:
                result: Any = chosen(frames, self.graph, self.keys)
                if self.postprocessor is not None:
                    with blaming("what is done with the results"):
                        result = self.postprocessor(result)
                yield Look(number, indices, result)

    def _data(self) -> MultiLoader:
        return evaluation_data(self.inputs, derived(self.seed, self.name))

    @contextmanager
    def _blamed(self) -> Iterator[None]:
        try:
            yield
        except UserCodeError as error:
            raise error.in_part_of(f'the debug pipeline "{self.name}"') from error.__cause__

    def _images(self, number: int, result: Any) -> Iterator[tuple[str, bytes]]:
        """The images of a batch, each with its name, as PNG files."""
        title = self.name if number == 0 else f"{self.name} {number + 1}"
        for key, image in images_of(result, f'"log" of the debug pipeline "{self.name}"').items():
            yield f"{title}/{key}" if key else title, image


class DebugPipelines(Listener):
    """Runs debug pipelines after the iterations at which their interval is over.

    Args:
        pipelines: In the order in which they run.
        progress: Where the run is.
        keep: Called with the name of each image that is logged, and its PNG file.
    """

    def __init__(
        self,
        pipelines: Sequence[DebugPipeline],
        progress: Progress,
        keep: Callable[[str, bytes], None],
    ) -> None:
        self.pipelines = pipelines
        self.progress = progress
        self.keep = keep

    def iteration_done(self, live: Live) -> None:
        step = self.progress.step
        for pipeline in self.pipelines:
            if step % pipeline.interval == 0:
                pipeline.run(step, self.keep)
