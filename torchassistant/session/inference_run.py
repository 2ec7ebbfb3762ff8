"""What an inference config asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torchassistant.assembly import Allowlist, wanted_by, wanted_for_inference
from torchassistant.config import InferenceSpec, Key, Spec
from torchassistant.errors import ConfigError, NoColumn, UserCodeError, UserError, blaming
from torchassistant.output_devices import Printer
from torchassistant.session.checkpoint_selection import LAST
from torchassistant.session.prediction import Prediction, Predictor, default_pipeline, offered
from torchassistant.session.request import Request
from torchassistant.session.session import Session


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


def infer_config(
    source: str | Path,
    inputs: Sequence[str],
    *,
    settings: Sequence[str] = (),
    trust: Sequence[str] = (),
    allow_download: bool = False,
    allow_write: Sequence[str] = (),
    checkpoint: str = LAST,
    tell: Callable[[str, UserError | UserCodeError], None] | None = None,
) -> Outcome:
    """Hand the prediction for each input to the output device.

    No dataset is built for it, unless it stands above a ``factory_fn`` that may look at it, only
    its instance can tell its transform, or the post-processor asks for it.

    Args:
        source: An inference config, or a session folder.
        inputs: Texts, as on the command line.
        settings: What is to be changed in the config or in the session's, as ``PATH=VALUE``.
        trust: Modules that the configs may name, beyond those that any config may.
        allow_download: Whether they may download, follow addresses and unpack what nobody pinned.
        allow_write: Folders that they may write into, beyond those that any config may.
        checkpoint: ``last``, ``best`` or a step.
        tell: Called with each input that there is no prediction for, and the reason.

    Returns:
        How many predictions there are, and what the others failed of.

    Raises:
        ConfigError: The config has problems, alone or laid over the session's.
        DataError: There are too many or too few inputs for the ports.
        SessionError: There is no such session.
        UserCodeError: The user's code raised before there was an input, or as the output device.
    """
    allowlist = Allowlist(trust, allow_download, allow_write)
    request = Request(source, InferenceSpec, settings, allowlist, checkpoint)
    config = request.config

    def used(spec: Spec) -> list[str]:
        if config.inference_pipeline is not None:
            request.expect_pipeline(spec, config.inference_pipeline, ("inference_pipeline",))
        return [default_pipeline(spec, config)]

    def wanted(spec: Spec, name: str) -> Iterator[Key]:
        pipeline = spec.initialize.pipelines[name]
        yield from wanted_by(spec, pipeline, with_data=False)
        yield from wanted_for_inference(spec, pipeline)

    def opened() -> Session:
        spec = request.spec(used, wanted, scored=False)
        (name,) = used(spec)
        return request.open(spec, wanted(spec, name), [name], with_data=False)

    session = request.first_usable(opened)
    builder = session.builder
    device: Any = Printer()
    if config.output_device is not None:
        what = "the output device"
        maker = builder.maker
        device = maker.make(config.output_device, ("output_device",), what, "output_device")
    outcome = Outcome()
    try:
        predictor = Predictor(session, builder, config)
        groups = predictor.groups(inputs)
        several = len(groups) > 1 or groups != [list(inputs)]
        for prediction in predictor.predictions(groups):
            delivered = _delivered(prediction, device, several)
            outcome.add(delivered)
            if delivered.error is not None and tell is not None:
                tell(delivered.shown_input, delivered.error)
    except NoColumn as error:
        names = config.results or []
        if error.column not in names:
            raise
        path = ("results", names.index(error.column))
        raise ConfigError(request.own.problem(str(error), path)) from None
    return outcome


def _delivered(prediction: Prediction, device: Callable[..., Any], several: bool) -> Prediction:
    """A prediction that the device was given; a failed one where the device does not take it."""
    if prediction.error is not None:
        return prediction
    known = {"input": prediction.input, "several": several}
    try:
        with blaming("the output device"):
            device(prediction.result, **offered(device, **known))
    except UserError as error:
        return replace(prediction, error=error)
    return prediction
