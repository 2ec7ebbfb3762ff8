"""The predictions of an evaluation, kept in the session: one row for each example."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torchassistant.data import MultiLoader, random_state, set_random_state
from torchassistant.errors import DataError, UserCodeError, UserError
from torchassistant.frames import Frame, Frames
from torchassistant.output_devices import jsonable
from torchassistant.session.files.durable_files import refuse_links
from torchassistant.session.predictions.dataset_predictions import as_batch, row_of
from torchassistant.session.predictions.prediction import Prediction
from torchassistant.session.predictions.prediction_table import PredictionTable
from torchassistant.training import KeepBatch, Loss, Pipeline, PipelineLoss, chosen, needs_gradient
from torchassistant.whole_files import make_folder, replacing
from torchassistant.writing import expect_folder_name

FOLDER, RESULTS = "evaluations", "results.json"


def folder_of_evaluation(session: Path, name: str) -> Path:
    """Where the predictions are kept that a checkpoint makes, by its name; it is made.

    Raises:
        DataError: The name cannot be that of a folder.
        SessionError: A link stands in its place.
        NotWritten: It cannot be made.
    """
    expect_folder_name(name)
    refuse_links(session, (FOLDER, f"{FOLDER}/{name}"))
    folder = session / FOLDER / name
    make_folder(folder)
    return folder


def keep_results(folder: Path, results: Mapping[str, Any]) -> None:
    """Keep what was measured, beside the predictions."""
    with replacing(folder / RESULTS) as aside:
        text = json.dumps(jsonable(results, "the results"), ensure_ascii=False, indent=1)
        aside.write_text(f"{text}\n", encoding="utf-8")


class KeptPredictions:
    """Makes a table of what a pipeline gives in an evaluation.

    A row has the ``index`` of an example in its dataset, the columns that losses and metrics read
    (targets among them), the outputs of the last processors, and under its display name each loss
    that gives one number, without models: of the example alone. Columns without a row for each
    example are left out.

    Args:
        pipeline: What is evaluated.
        table: Gets the rows.
    """

    def __init__(self, pipeline: Pipeline, table: PredictionTable) -> None:
        self.pipeline = pipeline
        self.table = table
        self.losses = [item for item in pipeline.losses if _is_of_examples(item)]
        self.autocast = pipeline.precision.forward
        self.done = 0

    def add(self, data: MultiLoader, number: int, frames: Frames) -> None:
        """Add the rows of a batch.

        Args:
            data: Has given it.
            number: Its place in the pass.
            frames: Its columns, with what was computed from them.
        """
        count = next(iter(frames.counts.values()))
        columns = {
            name: value
            for name, value in self._columns(frames).items()
            if _has_rows(value, count, name)
        }
        indices = data.indices_of(number, count, self.done)
        for row, index in enumerate(indices):
            values = {name: row_of(value, count, row, name) for name, value in columns.items()}
            values |= dict(self._losses(frames, count, row, values))
            self.table.add(Prediction(str(index), values, index=index))
        self.done += count

    def _columns(self, frames: Frames) -> Frame:
        graph = self.pipeline.graph
        if self.pipeline.eval_step is not None:
            return {name: value for frame in frames.values() for name, value in frame.items()}
        found: Frame = {}
        for frame in frames.values():
            found |= {name: value for name, value in frame.items() if name == "id"}
        for loss in self.pipeline.losses:
            found |= {name: frames[loss.node][name] for name in loss.loss.inputs}
        for metric in self.pipeline.metrics:
            found |= {name: frames[metric.node][name] for name in metric.metric.inputs}
        return found | chosen(frames, graph, None)

    def _losses(
        self, frames: Frames, count: int, row: int, known: Mapping[str, Any]
    ) -> Iterator[tuple[str, float | None]]:
        """The losses of an example alone."""
        for item in self.losses:
            frame = frames[item.node]
            inputs = {name: frame[name] for name in item.loss.inputs}
            if item.shown_as in known or not all(_has_rows(v, count, n) for n, v in inputs.items()):
                continue
            alone = {name: as_batch(value, count, row, name) for name, value in inputs.items()}
            before = random_state()
            try:
                with self.autocast():
                    value, _ = item.loss(alone, 1)
                yield item.shown_as, value.item()
            except (UserError, UserCodeError):
                yield item.shown_as, None  # one that compares examples has none for a single one
            finally:
                set_random_state(before)


def _is_of_examples(item: PipelineLoss) -> bool:
    loss = item.loss
    is_plain = type(loss).__call__ is Loss.__call__ and loss.keys == () and not item.models
    return is_plain and not needs_gradient(loss.function)


def _has_rows(value: Any, count: int, name: str) -> bool:
    try:
        row_of(value, count, 0, name)
    except DataError:
        return False
    return True


@contextmanager
def kept(pipeline: Pipeline, folder: Path | None) -> Iterator[KeepBatch | None]:
    """What gets each batch for the table ``PIPELINE.csv``, which appears when it is whole.

    Args:
        pipeline: What is evaluated.
        folder: Where the table takes the place of an earlier one; None: nothing is kept.
    """
    if folder is None:
        yield None
        return
    with PredictionTable(folder / f"{pipeline.name}.csv", overwrite=True) as table:
        yield KeptPredictions(pipeline, table).add
