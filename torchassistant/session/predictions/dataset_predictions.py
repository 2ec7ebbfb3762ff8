"""Predictions for all the data of a pipeline, example by example."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import count as counted
from typing import Any

import torch

from torchassistant.assembly import Builder, Parts
from torchassistant.codec import CodecError
from torchassistant.config import InferenceSpec
from torchassistant.data import (
    TurnOf,
    derived,
    generators_in,
    object_rngs_seeded,
    seed_all,
    seed_everything,
    seeded,
)
from torchassistant.errors import ConfigError, DataError, near
from torchassistant.frames import Frame, Frames
from torchassistant.parallel import Processes
from torchassistant.session.predictions.prediction import (
    Input,
    Prediction,
    default_pipeline,
    postprocessor_of,
)
from torchassistant.training import (
    BatchRun,
    DataPass,
    Pipeline,
    StopRequest,
    can_take_turns,
    carrying,
    chosen,
    evaluation_data_of,
    only_frames,
)

Finish = Callable[[dict[str, Any], Input], Any]

_Made = tuple[Frame, int, Sequence[Any]]
"""Of a batch: the columns, how many examples it has, their indices in the dataset."""


class DatasetPredictions:
    """Runs every example of the data of a pipeline, in its own order, through its graph.

    Args:
        pipeline: Has its data; models use their ``run_inference`` where they have one.
        results: The columns to keep; None keeps all outputs, and the columns ``id``.
        besides: Columns to keep besides, as targets.
        finish: The post-processor; gets the columns of one example as a batch of one.
        batch_done: Called after each batch.
        processes: Those that run a batch each, by turns; left out: this one alone. All of them have
            all predictions. Batches that are no batch by itself are run by every process.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        results: Sequence[str] | None,
        besides: Sequence[str] = (),
        finish: Finish | None = None,
        batch_done: Callable[[], None] | None = None,
        processes: Processes | None = None,
    ) -> None:
        inputs = [replace(one, factory=one.factory.keeping_all()) for one in pipeline.inputs]
        self.pipeline = replace(pipeline, inputs=inputs)
        self.results = results
        self.besides = besides
        self.finish = finish
        self.batch_done = batch_done
        self.processes = None
        if processes is not None and processes.size > 1 and can_take_turns(self.pipeline):
            self.processes = processes
            turn = TurnOf(processes.rank, processes.size)
            self.data = self.pipeline.evaluation_data(turn)
        else:
            self.data = evaluation_data_of(self.pipeline)

    def __iter__(self) -> Iterator[Prediction]:
        """A prediction for each example, with its index in the dataset.

        Raises:
            DataError: An example does not fit, or a column has no row for each example.
            NoColumn: A column that is to be kept is not there.
            UserCodeError: The user's code raised.
        """
        pipeline = self.pipeline
        for bring_up_to_date in pipeline.graph.before_evaluation:
            bring_up_to_date(StopRequest())
        seed = derived(pipeline.seed, "inference")
        batches = BatchRun.for_inference(pipeline.graph, pipeline.precision, only_frames)
        run = carrying(pipeline.graph, batches.run)
        with (
            closing(self.data),
            seeded(seed),
            object_rngs_seeded(pipeline.rng_holders, seed),
            batches.mode(),
            closing(DataPass(self.data, StopRequest())) as data_pass,
        ):
            data_pass.start(0)
            made = self._batches(run, data_pass)
            if self.processes is not None:
                made = _of_all(self._seeded(made, seed), self.processes)
            for columns, count, indices in made:
                for row in range(count):
                    yield self._prediction(columns, count, row, indices[row])
                if self.batch_done is not None:
                    self.batch_done()

    def _batches(self, run: Callable[[Frames], Frames], data_pass: DataPass) -> Iterator[_Made]:
        """The batches that are run here."""
        done = number = 0
        while (frames := data_pass.next()) is not None:
            columns, count = data_pass.run(
                lambda window, numbers: self._columns(run, window[0]),
                [frames],
                range(number, number + 1),
            )
            yield columns, count, self.data.indices_of(number, count, done)
            done, number = done + count, number + 1

    def _seeded(self, batches: Iterator[_Made], seed: int) -> Iterator[_Made]:
        """The same, where all that is random in a batch follows from its number among all."""
        assert self.processes is not None, "they take turns"
        own = list(generators_in(self.pipeline.rng_holders).values())
        for number in counted(self.processes.rank, self.processes.size):
            seed_everything(derived(seed, number))
            seed_all(own, derived(seed, number))
            if (made := next(batches, None)) is None:
                return
            yield made

    def _columns(self, run: Callable[[Frames], Frames], frames: Frames) -> tuple[Frame, int]:
        count = next(iter(frames.counts.values()))
        made = run(frames)
        graph = self.pipeline.graph
        kept = chosen(made, graph, self.results)
        known = [name for frame in made.values() for name in frame if name == "id"]
        besides = [*(known[:1] if self.results is None else ()), *self.besides]
        return {**(chosen(made, graph, besides) if besides else {}), **kept}, count

    def _prediction(self, columns: Frame, count: int, row: int, index: Any) -> Prediction:
        given = str(index)
        if self.finish is None:
            result: Any = {name: row_of(value, count, row, name) for name, value in columns.items()}
        else:
            one = {name: as_batch(value, count, row, name) for name, value in columns.items()}
            result = self.finish(one, given)
        return Prediction(given, result, index=index)


def _of_all(own: Iterator[_Made], processes: Processes) -> Iterator[_Made]:
    """What every process gives by turns, in the order of the batches.

    Raises:
        DataError: A column holds what cannot be sent.
    """
    while True:
        made = next(own, None)
        try:
            told = processes.gather_values(None if made is None else list(made))
        except CodecError as error:
            raise DataError(
                f'a column cannot be sent from process to process: {error}; "results" names the '
                "columns to keep"
            ) from None
        for one in told:
            if one is None:
                return
            columns, count, indices = one
            yield columns, count, indices


def predict_data(
    parts: Parts, builder: Builder, spec: InferenceSpec, columns: Sequence[str]
) -> list[dict[str, Any]]:
    """Predictions for all the data of a pipeline, each with its ``index``.

    Raises:
        ConfigError: There is no such pipeline.
    """
    name = default_pipeline(builder.spec, spec)
    if name not in parts.pipelines:
        raise ConfigError(f'no pipeline is named "{name}"{near(name, parts.pipelines)}')
    finish = None if spec.postprocessor is None else postprocessor_of(parts, builder, spec)
    made = DatasetPredictions(parts.pipelines[name], spec.results, columns, finish)
    rows = ((one.index, one.result) for one in made)
    return [
        {"index": index, **(result if isinstance(result, dict) else {"result": result})}
        for index, result in rows
    ]


def row_of(value: Any, count: int, row: int, name: str) -> Any:
    """What a column has for one example of a batch.

    Args:
        value: The column.
        count: The number of examples.
        row: The place of the example.
        name: Of the column, for messages.

    Raises:
        DataError: It has no row for each example.
    """
    if isinstance(value, torch.Tensor):
        if value.ndim and len(value) == count:
            return value[row].detach().cpu()
        found = f"a tensor of shape {tuple(value.shape)}"
    elif isinstance(value, Mapping):
        return {key: row_of(one, count, row, f"{name}.{key}") for key, one in value.items()}
    elif isinstance(value, list | tuple):
        if len(value) == count:
            return value[row]
        found = f"a {type(value).__name__} of {len(value)}"
    else:
        found = f"a value of type {type(value).__name__}"
    raise DataError(
        f'the column "{name}" has no row for each of {count} examples: it is {found}; '
        '"results" names the columns to keep'
    )


def as_batch(value: Any, count: int, row: int, name: str) -> Any:
    """The same as a batch of one: a tensor (1, ...), or a list of one."""
    one = row_of(value, count, row, name)
    if isinstance(value, torch.Tensor):
        return one.unsqueeze(0)
    return as_batch_of_dict(value, count, row, name) if isinstance(value, Mapping) else [one]


def as_batch_of_dict(value: Mapping[str, Any], count: int, row: int, name: str) -> Any:
    """The same of each value of a dict."""
    return {key: as_batch(one, count, row, f"{name}.{key}") for key, one in value.items()}
