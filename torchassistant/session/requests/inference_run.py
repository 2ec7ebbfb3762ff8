"""What an inference config asks for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torchassistant.assembly import Allowlist, wanted_by, wanted_for_inference
from torchassistant.config import PREDICTION, InferenceSpec, Key, Spec
from torchassistant.errors import ConfigError, NoColumn, UserCodeError, UserError, blaming
from torchassistant.output_devices import Printer
from torchassistant.parallel import Processes
from torchassistant.session.checkpoints.selection import LAST
from torchassistant.session.predictions.dataset_predictions import DatasetPredictions, row_of
from torchassistant.session.predictions.prediction import (
    Prediction,
    Predictor,
    default_pipeline,
    offered,
    postprocessor_of,
)
from torchassistant.session.predictions.prediction_table import PredictionTable
from torchassistant.session.requests.request import Request, on_device
from torchassistant.session.session import Session
from torchassistant.training import Reporter


@dataclass(slots=True)
class Outcome:
    """How many inputs have a prediction, and how many have none.

    Args:
        made: Those that the output device has got.
        failed: Those that failed.
        misfits: How many of these failed for what the user can repair, and not in code that raised.
    """

    made: int = 0
    failed: int = 0
    misfits: int = 0

    def add(self, prediction: Prediction) -> None:
        """Count one more."""
        self.made += prediction.error is None
        self.failed += prediction.error is not None
        self.misfits += isinstance(prediction.error, UserError)


Deliver = Callable[[Prediction], None]
"""Hands on a prediction.

Raises:
    UserError: It holds what cannot be.
    UserCodeError: The output device raised.
"""


def infer_config(
    source: str | Path,
    inputs: Sequence[str],
    *,
    settings: Sequence[str] = (),
    trust: Sequence[str] = (),
    allow_download: bool = False,
    allow_write: Sequence[str] = (),
    checkpoint: str = LAST,
    device: str | None = None,
    pipeline: str | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    columns: Sequence[str] = (),
    reporter: Reporter | None = None,
    tell: Callable[[str, UserError | UserCodeError], None] | None = None,
    deliver: Deliver | None = None,
    processes: Processes | None = None,
) -> Outcome:
    """Hand the prediction for each input to the output device, or write it to a file.

    Without inputs, predictions are made for all the data of a pipeline. For inputs no dataset is
    built, unless it stands above a ``factory_fn`` that may look at it, only its instance can tell
    its transform, or the post-processor asks for it.

    Args:
        source: An inference config, or a session folder.
        inputs: Texts, as on the command line; none: the data of the pipeline.
        settings: What is to be changed in the config or in the session's, as ``PATH=VALUE``.
        trust: Modules that the configs may name, beyond those that any config may.
        allow_download: Whether they may download, follow addresses and unpack what nobody pinned.
        allow_write: Folders that they may write into, beyond those that any config may.
        checkpoint: ``last``, ``best`` or a step.
        device: Another device than the config says.
        pipeline: Which one; left out: as the config says.
        output: A file of predictions, in place of the output device.
        overwrite: Whether that may take the place of one that is there.
        columns: Columns to keep besides, as inputs and targets.
        reporter: Is called for every batch of the data of a pipeline.
        tell: Called with each input that there is no prediction for, and the reason.
        deliver: Gets each prediction that was made, in place of the output device.
        processes: Those that run the data of a pipeline together, batch by batch; left out: this
            one alone. The first one hands on.

    Returns:
        How many predictions there are, and what the others failed of.

    Raises:
        ConfigError: The config has problems, alone or laid over the session's; or there are no
            inputs, and nothing says that the data of a pipeline is meant; or there are some, and
            several processes.
        DataError: There are too many or too few inputs for the ports.
        SessionError: There is no such session.
        UserCodeError: The user's code raised before there was an input, or as the output device.
    """
    processes = processes or Processes()
    if inputs and processes.size > 1:
        raise ConfigError(
            "several processes make predictions for all the data of a pipeline (--pipeline NAME, "
            "without inputs); leave out --processes for inputs"
        )
    table = None
    if output is not None and processes.is_first:
        table = PredictionTable(output, overwrite)
    allowlist = Allowlist(trust, allow_download, allow_write)
    settings = [*settings, *on_device(device)]
    if pipeline is not None:
        settings = [*settings, f"inference_pipeline={json.dumps(pipeline)}"]
    request = Request(source, InferenceSpec, settings, allowlist, checkpoint, processes)
    config = request.config
    is_over_data = not inputs
    if is_over_data and pipeline is None and config.loader_factory is None:
        raise ConfigError(
            "there is no input; --pipeline NAME makes predictions for all the data of a pipeline"
        )

    def used(spec: Spec) -> list[str]:
        if config.inference_pipeline is not None:
            request.expect_pipeline(spec, config.inference_pipeline, ("inference_pipeline",))
        if is_over_data and config.loader_factory is not None:
            request.expect_loader(spec, config.loader_factory)
        return [default_pipeline(spec, config)]

    def wanted(spec: Spec, name: str) -> Iterator[Key]:
        named = spec.initialize.pipelines[name]
        if is_over_data:
            for one in spec.with_sources([name]):
                yield from wanted_by(spec, spec.initialize.pipelines[one], scored=False)
            return
        yield from wanted_by(spec, named, with_data=False)
        yield from wanted_for_inference(spec, named)

    def besides(spec: Spec) -> Iterator[Key]:
        if is_over_data and config.loader_factory is not None:
            yield Key("loader_factories", config.loader_factory)

    def opened() -> Session:
        spec = request.spec(used, wanted, scored=False, besides=besides)
        (name,) = used(spec)
        if not is_over_data:
            return request.open(spec, wanted(spec, name), [name], with_data=False)
        if config.loader_factory is not None:
            feed_with(request, spec, name, config.loader_factory)
        return request.open(spec, wanted(spec, name), spec.with_sources([name]), scored=False)

    session = request.first_usable(opened)
    if request.own.keeps_prediction:
        graph = session.pipelines[default_pipeline(session.spec, config)].graph
        if any(PREDICTION in node.outputs for node in graph.nodes):
            config.results = [PREDICTION]

    def delivers(several: bool) -> Deliver:
        return _to_device(session, config, several) if deliver is None else deliver

    kept = [*config.results, *columns] if config.results is not None and columns else config.results
    try:
        if is_over_data:
            name = default_pipeline(session.spec, config)
            reporter = reporter or Reporter()
            made = over_data(session, name, config, columns, reporter, processes)
            if not processes.is_first:
                return _followed(made, processes)
            outcome = _delivered_all(made, delivers(True), config, table, tell)
            processes.wait()
            return outcome
        predictor = Predictor(session, session.builder, config.model_copy(update={"results": kept}))
        groups = predictor.groups(inputs)
        several = len(groups) > 1 or groups != [list(inputs)]
        predictions = predictor.predictions(groups)
        return _delivered_all(predictions, delivers(several), config, table, tell)
    except NoColumn as error:
        names = config.results or []
        if error.column not in names:
            raise
        path = ("results", names.index(error.column))
        raise ConfigError(request.own.problem(str(error), path)) from None


def feed_with(request: Request[InferenceSpec], spec: Spec, name: str, factory: str) -> None:
    """Let a pipeline be fed by another loader factory.

    Raises:
        ConfigError: It has several ports.
    """
    inputs = spec.initialize.pipelines[name].input_factories
    if len(inputs) > 1:
        message = f'the pipeline "{name}" has {len(inputs)} ports, and this feeds one'
        raise ConfigError(request.own.problem(message, ("loader_factory",)))
    inputs[0].loader_factory, inputs[0].from_pipeline, inputs[0].node = factory, None, None


def over_data(
    session: Session,
    name: str,
    config: InferenceSpec,
    columns: Sequence[str],
    reporter: Reporter,
    processes: Processes,
) -> Iterator[Prediction]:
    """The predictions for the data of a pipeline."""
    finish = None
    if config.postprocessor is not None and processes.is_first:
        finish = postprocessor_of(session, session.builder, config)
    made = DatasetPredictions(
        session.pipelines[name],
        config.results,
        columns,
        finish,
        reporter.batch_evaluated,
        processes,
    )
    reporter.evaluation_started(name, made.data.length())
    try:
        yield from made
        reporter.evaluation_finished(name)
    finally:
        reporter.close()


def _followed(predictions: Iterable[Prediction], processes: Processes) -> Outcome:
    """Take part in predictions that the first process hands on."""
    for _ in predictions:
        pass
    processes.wait()
    return Outcome()


def _delivered_all(
    predictions: Iterable[Prediction],
    deliver: Deliver,
    config: InferenceSpec,
    table: PredictionTable | None,
    tell: Callable[[str, UserError | UserCodeError], None] | None,
) -> Outcome:
    outcome = Outcome()
    if table is None:
        delivered = (_delivered(prediction, deliver) for prediction in predictions)
        return _counted(delivered, outcome, tell)
    with table:
        is_batch = config.postprocessor is None
        return _counted(_added(predictions, table, is_batch), outcome, tell)


def _counted(
    predictions: Iterable[Prediction],
    outcome: Outcome,
    tell: Callable[[str, UserError | UserCodeError], None] | None,
) -> Outcome:
    for prediction in predictions:
        outcome.add(prediction)
        if prediction.error is not None and tell is not None:
            tell(prediction.shown_input, prediction.error)
    return outcome


def _added(
    predictions: Iterable[Prediction], table: PredictionTable, is_batch: bool
) -> Iterator[Prediction]:
    """Predictions that a table was given; those of inputs are batches of one."""
    for prediction in predictions:
        if prediction.error is None:
            if is_batch and prediction.index is None:
                columns = prediction.result
                row = {name: row_of(value, 1, 0, name) for name, value in columns.items()}
                table.add(replace(prediction, result=row))
            else:
                table.add(prediction)
        yield prediction


def _to_device(session: Session, config: InferenceSpec, several: bool) -> Deliver:
    """Hands on predictions to the output device of a config."""
    device: Callable[..., Any] = Printer()
    if config.output_device is not None:
        maker, what = session.builder.maker, "the output device"
        device = maker.make(config.output_device, ("output_device",), what, "output_device")

    def deliver(prediction: Prediction) -> None:
        known = {"input": prediction.input, "several": several}
        with blaming("the output device"):
            device(prediction.result, **offered(device, **known))

    return deliver


def _delivered(prediction: Prediction, deliver: Deliver) -> Prediction:
    """A prediction that was handed on; a failed one where it holds what is not taken."""
    if prediction.error is not None:
        return prediction
    try:
        deliver(prediction)
    except UserError as error:
        return replace(prediction, error=error)
    return prediction
