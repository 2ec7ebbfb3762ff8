"""Predictions for inputs that a person gives as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torchassistant.build import Builder, Parts, inference_inputs
from torchassistant.config import InferenceSpec, Spec
from torchassistant.config.tree import Path
from torchassistant.errors import ConfigError, DataError, blaming, listing, near
from torchassistant.frames import Frames
from torchassistant.training import infer


def predict(
    parts: Parts, builder: Builder, spec: InferenceSpec, inputs: Sequence[str]
) -> list[Any]:
    """Predictions, one for each input; for each group of inputs where the ports are several.

    Args:
        parts: Where the pipeline, its models and its preprocessors are.
        builder: What they were built with.
        spec: The pipeline, the converters of its inputs, the results, the post-processor.
        inputs: Texts; where there are several ports, one for each port in turn.

    Returns:
        For each prediction the kept columns, or what the post-processor made of them.
    """
    name = default_pipeline(builder.spec, spec)
    if name not in parts.pipelines:
        raise ConfigError(f'no pipeline is named "{name}"{near(name, parts.pipelines)}')
    pipeline = parts.pipelines[name]
    ports = inference_inputs(builder, builder.spec.initialize.pipelines[name], spec)
    if not inputs or len(inputs) % len(ports):
        names = listing([port.port for port in ports])
        raise DataError(
            f'the pipeline "{name}" takes one input for each of its ports ({names}) a prediction; '
            f"found {len(inputs)} inputs"
        )
    finish = _post_processor(parts, builder, spec)
    results = []
    for first in range(0, len(inputs), len(ports)):
        texts = inputs[first : first + len(ports)]
        frames = Frames(
            {port.port: port.frame(text) for port, text in zip(ports, texts, strict=True)},
            dict.fromkeys((port.port for port in ports), 1),
        )
        results.append(finish(infer(pipeline, frames, spec.results)))
    return results


def default_pipeline(config: Spec, spec: InferenceSpec) -> str:
    """The name of the pipeline of an inference config; left out: the last validation pipeline.

    Raises:
        ConfigError: There is no validation pipeline.
    """
    name = spec.inference_pipeline or next(reversed(config.default_validation), None)
    if name is None:
        known = listing(list(config.initialize.pipelines))
        raise ConfigError(f'"inference_pipeline" is needed; there are {known}')
    return name


def _post_processor(
    parts: Parts, builder: Builder, spec: InferenceSpec
) -> Callable[[dict[str, Any]], Any]:
    if spec.post_processor is None:
        return lambda columns: columns
    path: Path = ("post_processor",)
    what = "the post-processor"
    process = builder.maker.make(spec.post_processor, path, what, "post_processor", [parts])

    def run(columns: dict[str, Any]) -> Any:
        with blaming("the post-processor"):
            return process(columns)

    return run
