"""A session: one training run, and all that can be asked of it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from torchassistant.callbacks import Callback
from torchassistant.config import StageEvaluatorSpec
from torchassistant.errors import ConfigError, near
from torchassistant.parallel import Processes, World
from torchassistant.session.evaluation.kept_predictions import folder_of_evaluation
from torchassistant.session.evaluation.measuring import Measuring
from torchassistant.session.history.order import order_of
from torchassistant.session.history.row_data import RowData
from torchassistant.session.history.stored_samples import (
    NotedSamples,
    StoredSamples,
    stored_samples,
)
from torchassistant.session.predictions.dataset_predictions import predict_data
from torchassistant.session.predictions.inference_options import inference_spec
from torchassistant.session.predictions.prediction import predict
from torchassistant.session.stored_session import StoredSession
from torchassistant.session.views.best_so_far import best_so_far
from torchassistant.session.views.history_feed import HistoryFeed, about_session
from torchassistant.session.views.html_summary import HtmlSummary
from torchassistant.training import (
    BestValues,
    Look,
    Reporter,
    StopRequest,
    looks_at_pipeline,
)

if TYPE_CHECKING:
    import pandas as pd


class Session(StoredSession):
    """One training run.

    Its parts are mappings by name: ``models``, ``optimizers``, ``datasets``, ``splits``,
    ``preprocessors``, ``collators``, ``loader_factories``, ``losses``, ``metrics``,
    ``batch_processors``, ``batch_graphs``, ``gradient_clippers``, ``backward_hooks``,
    ``forward_hooks``, ``callbacks``, ``pipelines``. ``stages`` is a list; ``progress`` says where
    it is.
    """

    @property
    def history(self) -> pd.DataFrame:
        """The rows of all stages as a pandas DataFrame.

        The column ``stage`` holds the name of the stage, or its index where it has none.
        """
        return self.rows.table(self.spec.stage_labels)

    @property
    def step_history(self) -> pd.DataFrame:
        """The rows of all stages that ``log`` asked for, as a pandas DataFrame.

        The column ``stage`` is that of :attr:`history`; ``time`` is in seconds since 1970, UTC.
        """
        return self.rows.step_table(self.spec.stage_labels)

    def _repr_html_(self) -> str:
        """What a notebook shows of it, where it is the last line of a cell."""
        return HtmlSummary(self, self.spec, self.progress, self.rows).html(self.folder)

    def order(self, pipeline: str, epoch: int, port: str | None = None) -> list[list[Any]] | None:
        """The examples that a pipeline has met in an epoch: their indices in the dataset.

        Of all passes in the epoch, in order, of training and then of evaluation; computed from the
        config as it is now. Examples that a collator left out are among them.

        Args:
            pipeline: Its name.
            epoch: Over all stages, from 1; the one at hand as far as it is.
            port: The name of a port; left out: the first.

        Returns:
            The indices of each batch. None for streams, which have none, and for a port that
            another pipeline feeds: ask for that one.

        Raises:
            ConfigError: There is no such pipeline or port, or it does not run in that epoch.
            SessionError: The epoch has not begun; or a sampler of yours keeps something from pass
                to pass, so that its order cannot be had again.
        """
        return order_of(self, self.rows, self.progress, pipeline, epoch, port)

    def data(self, name: str) -> list[RowData]:
        """What a metric gave as tensors (a confusion matrix, a curve), a value for each row.

        Args:
            name: Its display name; ``NAME/KEY`` where it gives a dict.

        Returns:
            For each row of the history that has it: ``stage``, ``epoch`` and ``step`` as in the
            history, and ``value``, a tensor on the CPU, or a list of them where the metric gives a
            tuple or list.

        Raises:
            SessionError: No row has data of that name.
        """
        return self.rows.data(name, self.spec.stage_labels)

    def samples(self, callback: str | None = None) -> list[StoredSamples]:
        """What callbacks of the class Samples have kept, epoch by epoch.

        Args:
            callback: The name of one; left out: of all.
        """
        noted = self.rows.samples_after(0)[0]
        labels = self.spec.stage_labels
        return [
            stored_samples(one, self.path, labels[one.stage])
            for one in noted
            if callback in (None, one.name)
        ]

    def note_samples(
        self, callback: str, stage: int, epoch: int, folder: str, images: Sequence[str]
    ) -> None:
        """Note samples of an epoch in the history; see the callback Samples.

        Args:
            callback: The name of the callback that has kept them.
            stage: The index of the stage.
            epoch: Over all stages, from 1.
            folder: The name of their folder, in that of the callback.
            images: The columns that are images.
        """
        step = self.progress.step
        self.rows.add_samples(NotedSamples(callback, stage, epoch, step, folder, [*images]))

    def looks(
        self, pipeline: str, columns: Sequence[str] | None = None
    ) -> Generator[Look, None, None]:
        """Run a debug pipeline, or another one over its data, and leave no trace in the training.

        Args:
            pipeline: The name of a debug pipeline, or else of a pipeline.
            columns: The columns of a pipeline; left out: all of its data, and what its last
                processors give. A debug pipeline has its ``output_keys``.

        Returns:
            For each batch a look: ``number``, ``indices`` of its examples in the dataset, and
            ``result``, the columns by name or what the post-processor made of them. Close it where
            not all are wanted.

        Raises:
            ConfigError: There is no such pipeline.
        """
        if pipeline in self.debug_pipelines:
            return self.debug_pipelines[pipeline].looks(self.progress.step)
        if pipeline not in self.pipelines:
            known = {**self.debug_pipelines, **self.pipelines}
            raise ConfigError(f'no pipeline is named "{pipeline}"{near(pipeline, known)}')
        return looks_at_pipeline(self.pipelines[pipeline], columns, self.progress.step)

    def history_feed(self) -> HistoryFeed:
        """The history row by row, as loggers send it. While it is trained, it may hold more than
        what is stored; in a callback's ``on_train_start`` and ``on_checkpoint`` it does not."""
        about = about_session(self.path, self.spec, self._saved.files)
        return HistoryFeed(about, self.rows, len(self.spec.train.stages))

    def train(
        self,
        reporter: Reporter | None = None,
        stop: StopRequest | None = None,
        callbacks: Sequence[Callback | Reporter] = (),
        processes: Processes | None = None,
    ) -> None:
        """Train until every stage is done. A finished session is left as it is.

        The state is saved after every epoch, or as ``checkpoints`` in the config says, and where
        the run is stopped.

        Args:
            reporter: Is called when something happens; left out: in a notebook one that shows the
                progress, elsewhere nobody.
            stop: Ends training after the iteration at hand.
            processes: Those that train it together; left out: this one alone.
            callbacks: Called after those of the config; each is known by its ``name``, or else by
                that of its class. Give them again when the session is resumed. A reporter among
                them is called after ``reporter``; it has no name, and nothing of it is stored.

        Raises:
            ConfigError: What was given is no callback, or two have one name.
            Interrupted: ``stop`` asked for it; training goes on from the iteration at hand.
            SessionError: Another process trains the session, or only a part of it was loaded.
            UserCodeError: The user's code raised.
            DataError: The data does not fit the config.
            NotFinite: A loss or a gradient is not finite.
            NotSaved: Training is done, and not all of it could be written.
        """
        self._train(reporter, stop or StopRequest(), callbacks, processes)

    def best_values(self) -> BestValues:
        """What the best so far is of what the config monitors, or else of validation losses."""
        return best_so_far(self, self.spec, self.rows)

    def emit(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Fire an event of one's own; nobody hears it while the session is not trained.

        Args:
            name: Of the event. Callbacks of the stage at hand hear it in their methods that are
                marked with ``on(name)``.
            args: What those are called with, after the event.
            kwargs: Likewise.

        Raises:
            UserCodeError: A method raised.
        """
        if self._callbacks is not None:
            self._callbacks.emit(name, *args, **kwargs)

    def evaluate(
        self,
        pipelines: Sequence[str] | None = None,
        eval_steps: float | dict[str, Any] = 1.0,
        reporter: Reporter | None = None,
        stop: StopRequest | None = None,
        evaluators: Sequence[StageEvaluatorSpec] | None = None,
        keep: bool | str = False,
        processes: Processes | None = None,
    ) -> dict[str, Any]:
        """Losses and metrics of pipelines by display name, and what evaluators measure: floats.

        What a metric gives as a tensor is a tensor on the CPU; what it gives as a tuple or list of
        tensors is a list of them.

        Args:
            pipelines: Names; left out: the validation pipelines of the last stage.
            eval_steps: A count of batches or a fraction of them, or a table of those by name.
            reporter: Is called for every batch.
            stop: Ends the evaluation early.
            evaluators: Entries as of a stage, which give ``EVALUATOR/KEY``; left out: those of the
                last stage, or none where pipelines are named.
            keep: Whether to keep the predictions too, in ``evaluations`` in the session's folder:
                ``STEP/PIPELINE.csv``, and what was measured in ``STEP/results.json``. A text is
                the name of another folder there.
            processes: Those that evaluate together, by turns; left out: this one alone. Where
                predictions are kept, the first one does all of it.

        Raises:
            ConfigError: There is no such pipeline.
            DataError: The predictions do not fit into a table.
        """
        if evaluators is None:
            evaluators = self.spec.default_evaluators if pipelines is None else ()
        names = list(self.spec.default_validation if pipelines is None else pipelines)
        measuring = Measuring(self.builder, names, eval_steps, evaluators)
        reporter = reporter or Reporter()
        if keep is False:
            world = None
            if processes is not None and processes.size > 1:
                world = World(processes, shares_models=self._shares_models)
            return measuring.run(reporter, stop, world=world)
        if processes is not None and not processes.is_first:
            return processes.first({})
        name = f"{self.progress.step:010d}" if keep is True else keep
        results = measuring.run(reporter, stop, folder_of_evaluation(self.path, name))
        return results if processes is None else processes.first(results)

    def infer(self, *inputs: str, **options: Any) -> list[Any]:
        """Predictions, one for each input (for each group of inputs, where the ports are several).

        Args:
            inputs: Texts, as on the command line; a folder stands for the files in it, sorted.
            options: Keys of an inference config: ``inference_pipeline``, ``inputs_meta``,
                ``results``, ``postprocessor``.

        Raises:
            ConfigError: The options do not fit the session.
            NotPredicted: There is no prediction for some of several inputs; its ``predictions`` are
                all, each with its ``input``, and with its ``result`` or ``error``.
            DataError: The inputs do not fit the pipeline.
            UserCodeError: The user's code raised for the only input.
        """
        return predict(self, self.builder, inference_spec(self.spec, self.path, options), inputs)

    def predict(
        self, pipeline: str | None = None, columns: Sequence[str] = (), **options: Any
    ) -> list[dict[str, Any]]:
        """Predictions for all the data of a pipeline, in its own order.

        Args:
            pipeline: Its name; left out: as for :meth:`infer`.
            columns: Columns to keep besides, as inputs and targets.
            options: ``results`` and ``postprocessor`` of an inference config.

        Returns:
            For each example its ``index`` in the dataset, and the columns: tensors without the axis
            of the batch; or ``result``, where the post-processor gives no dict.

        Raises:
            ConfigError: The options do not fit the session.
            DataError: An example does not fit the pipeline.
            UserCodeError: The user's code raised.
        """
        named = {} if pipeline is None else {"inference_pipeline": pipeline}
        spec = inference_spec(self.spec, self.path, {**options, **named})
        return predict_data(self, self.builder, spec, columns)
