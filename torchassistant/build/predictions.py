"""How the text of an input becomes the frame of a port, with what the session has learnt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torchassistant.build.builder import Builder
from torchassistant.collators import DefaultCollator
from torchassistant.config.references import Key, as_slice
from torchassistant.config.spec import InferenceSpec, InputFactorySpec, PipelineSpec, Spec
from torchassistant.config.tree import Path
from torchassistant.data import as_columns
from torchassistant.data.injector import named
from torchassistant.errors import ConfigError, blaming, listing, near
from torchassistant.frames import Frame

Process = Callable[[Any], Any]
Layer = list[str | None]


@dataclass(frozen=True, slots=True, eq=False)
class InferenceInput:
    """From the text of one input to the frame of one port.

    Args:
        port: The name of the port.
        converter: Text → value, or a tuple of the first columns.
        layers: The preprocessors of the dataset, from the inmost out, one a column.
        collator: The collator of the loader factory.
        columns: The names of the columns; an input may have fewer than the batches of training.
        source: The name of the loader factory, for messages.
    """

    port: str
    converter: Process | None
    layers: Sequence[Sequence[Process | None]]
    collator: Callable[[Sequence[Any]], Any]
    columns: tuple[str, ...] | None
    source: str

    def frame(self, text: str) -> Frame:
        """A frame with one row."""
        example = as_columns(self._run(self.converter, text, "the input converter"))
        for layer in self.layers:
            example = tuple(
                value if index >= len(layer) else self._run(layer[index], value, "a preprocessor")
                for index, value in enumerate(example)
            )
        batch = self._run(self.collator, [example], "the collator")
        names = None if self.columns is None else self.columns[: len(example)]
        return named(names, self.source)(batch)

    def _run(self, function: Process | None, value: Any, what: str) -> Any:
        if function is None:
            return value
        with blaming(f'{what} of the port "{self.port}"'):
            return function(value)


def wanted_for_inference(spec: Spec, pipeline: PipelineSpec) -> Iterator[Key]:
    """The collators and preprocessors of a pipeline's data; not the data."""
    loaders = spec.group("loader_factories")
    for item in pipeline.input_factories:
        loader = loaders.get(item.loader_factory)
        if loader is None:
            continue
        if loader.collator:
            yield Key("collators", loader.collator)
        for layer in _layers(spec, loader.dataset):
            yield from (Key("preprocessors", name) for name in layer if name)


def inference_inputs(
    builder: Builder, pipeline: PipelineSpec, spec: InferenceSpec
) -> list[InferenceInput]:
    """What feeds each port, in the order of ``inputs_meta``, or else of the pipeline.

    Raises:
        ConfigError: A port is not fed, or there is no such port.
    """
    feeds = {item.input_alias or "": item for item in pipeline.input_factories}
    metas: dict[str, tuple[int, Any]] = {}
    for index, meta in enumerate(spec.inputs_meta):
        port = meta.input_alias or (next(iter(feeds)) if len(feeds) == 1 else "")
        if not port:
            raise ConfigError(
                f'"input_alias" is needed in inputs_meta; the ports are {listing(list(feeds))}'
            )
        if port not in feeds:
            raise ConfigError(f'the pipeline has no port "{port}"{near(port, feeds)}')
        if port in metas:
            raise ConfigError(f'inputs_meta names the port "{port}" twice')
        metas[port] = (index, meta)
    ports = [*metas, *(port for port in feeds if port not in metas)]
    return [_input(builder, port, feeds[port], metas.get(port)) for port in ports]


def _input(
    builder: Builder, port: str, feed: InputFactorySpec, meta: tuple[int, Any] | None
) -> InferenceInput:
    parts, loader = builder.parts, builder.spec.group("loader_factories")[feed.loader_factory]
    converter = None
    if meta is not None and meta[1].input_converter is not None:
        path: Path = ("inputs_meta", meta[0], "input_converter")
        what = f'the input converter of the port "{port}"'
        converter = builder.maker.make(meta[1].input_converter, path, what, "input_converter")
    return InferenceInput(
        port,
        converter,
        [
            [parts.preprocessors[name].process if name else None for name in layer]
            for layer in _layers(builder.spec, loader.dataset)
        ],
        parts.collators[loader.collator] if loader.collator else DefaultCollator(),
        tuple(feed.variable_names) if feed.variable_names else None,
        feed.loader_factory,
    )


def _layers(spec: Spec, name: str, above: frozenset[str] = frozenset()) -> list[Layer]:
    """The names of the preprocessors that the examples of a dataset go through, inmost first."""
    if name in above:  # a circle, which the check of the config tells of
        return []
    above |= {name}
    datasets, splits = spec.group("datasets"), spec.group("splits")
    if name not in datasets:
        piece = as_slice(name)
        split = splits.get(piece.split) if piece else None
        return [] if split is None else _layers(spec, split.dataset_name, above)
    dataset = datasets[name]
    below = dataset.link or (dataset.merge[0] if dataset.merge else None)
    inner = _layers(spec, below, above) if below else []
    return [*inner, list(dataset.preprocessors)] if any(dataset.preprocessors) else inner
