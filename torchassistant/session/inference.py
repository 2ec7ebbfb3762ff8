"""What an inference config asks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from torchassistant.build import Builder, build_pipeline
from torchassistant.build.pipelines import wanted_by
from torchassistant.build.predictions import wanted_for_inference
from torchassistant.config import InferenceSpec, validate
from torchassistant.config.references import Key
from torchassistant.config.tree import as_tree, place_of
from torchassistant.errors import blaming
from torchassistant.output_devices import Printer
from torchassistant.session.checkpoints import restore
from torchassistant.session.opening import open_session
from torchassistant.session.prediction import default_pipeline, predict
from torchassistant.session.request import chosen_pipeline, laid_over, request


def infer_config(source: str | Path, inputs: Sequence[str]) -> None:
    """Hand the prediction for each input to the output device.

    No dataset is built for it, unless it stands above a ``factory_fn`` that may look at it.

    Args:
        source: An inference config, or a session folder.
        inputs: Texts, as on the command line.

    Raises:
        ConfigError: The config has problems, alone or laid over the session's.
        DataError: The inputs do not fit the pipeline.
        SessionError: There is no such session.
        UserCodeError: The user's code raised.
    """
    tree = request(source)
    file = str(source)
    wish = validate(InferenceSpec, tree, file)
    folder, whole, spec = laid_over(
        wish.session_dir, tree, file, lambda spec: [default_pipeline(spec, wish)]
    )
    name = default_pipeline(spec, wish)
    pipeline = chosen_pipeline(spec, name, place_of(tree, ("inference_pipeline",), file))

    def wanted(builder: Builder) -> Iterator[Key]:
        yield from wanted_by(builder, pipeline, with_data=False)
        yield from wanted_for_inference(builder, pipeline)

    for key in tree:  # so that problems with these are shown where they stand
        if key not in whole:
            whole.take(as_tree(tree), key)
    checkpoint = folder.checkpoints.newest_sound()
    session = open_session(folder.path, spec, whole, folder.statics(), wish.device, wanted)
    builder = session.builder
    session.pipelines[name] = build_pipeline(builder, name, pipeline, with_data=False)
    restore(checkpoint, session, weights_only=True)
    device = Printer()
    if wish.output_device is not None:
        what = "the output device"
        maker = builder.maker
        device = maker.make(wish.output_device, ("output_device",), what, "output_devices")
    for result in predict(session, builder, wish, inputs):
        with blaming("the output device"):
            device(result)
