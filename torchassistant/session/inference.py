"""What an inference config asks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from torchassistant.build import build_pipeline
from torchassistant.build.pipelines import wanted_by
from torchassistant.build.predictions import wanted_for_inference
from torchassistant.config import InferenceSpec, Spec
from torchassistant.config.references import Key
from torchassistant.errors import ConfigError, NoColumn, blaming
from torchassistant.output_devices import Printer
from torchassistant.session.checkpoints import LAST
from torchassistant.session.prediction import default_pipeline, predict
from torchassistant.session.request import Request


def infer_config(
    source: str | Path,
    inputs: Sequence[str],
    *,
    settings: Sequence[str] = (),
    trust: Sequence[str] = (),
    checkpoint: str = LAST,
) -> None:
    """Hand the prediction for each input to the output device.

    No dataset is built for it, unless it stands above a ``factory_fn`` that may look at it.

    Args:
        source: An inference config, or a session folder.
        inputs: Texts, as on the command line.
        settings: What is to be changed in the config or in the session's, as ``PATH=VALUE``.
        trust: Modules that the configs may name, beyond those that any config may.
        checkpoint: ``last``, ``best`` or a step.

    Raises:
        ConfigError: The config has problems, alone or laid over the session's.
        DataError: The inputs do not fit the pipeline.
        SessionError: There is no such session.
        UserCodeError: The user's code raised.
    """
    request = Request(source, InferenceSpec, settings, trust, checkpoint)
    wish = request.wish

    def used(spec: Spec) -> list[str]:
        if wish.inference_pipeline is not None:
            request.expect_pipeline(spec, wish.inference_pipeline, ("inference_pipeline",))
        return [default_pipeline(spec, wish)]

    def wanted(spec: Spec, name: str) -> Iterator[Key]:
        pipeline = spec.initialize.pipelines[name]
        yield from wanted_by(spec, pipeline, with_data=False)
        yield from wanted_for_inference(spec, pipeline)

    spec = request.spec(used, wanted, scored=False)
    (name,) = used(spec)
    session = request.open(spec, wanted(spec, name))
    builder = session.builder
    pipeline = spec.initialize.pipelines[name]
    session.pipelines[name] = build_pipeline(builder, name, pipeline, with_data=False)
    request.restore(session)
    request.tell_changes(spec)
    device = Printer()
    if wish.output_device is not None:
        what = "the output device"
        maker = builder.maker
        device = maker.make(wish.output_device, ("output_device",), what, "output_device")
    try:
        results = predict(session, builder, wish, inputs)
    except NoColumn as error:
        names = wish.results or []
        if error.column not in names:
            raise
        path = ("results", names.index(error.column))
        raise ConfigError(request.own.problem(str(error), path)) from None
    for result in results:
        with blaming("the output device"):
            device(result)
