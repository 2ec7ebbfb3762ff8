"""How the text of an input becomes the frame of a port, with what the session has learnt."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch

from torchassistant.assembly.builder import Builder
from torchassistant.assembly.dataset_transform import OwnTransform, own_transform
from torchassistant.collators import DefaultCollator
from torchassistant.config import (
    InferenceSpec,
    InputFactorySpec,
    Key,
    Path,
    PipelineSpec,
    Spec,
    as_slice,
    unread_columns,
)
from torchassistant.data import as_columns, named, seeded
from torchassistant.errors import (
    ConfigError,
    DataError,
    UserCodeError,
    UserError,
    blaming,
    listing,
    near,
)
from torchassistant.frames import Frame
from torchassistant.messages import logger_for
from torchassistant.ownership import is_from_users_code

_log = logger_for(__name__)

Process = Callable[[Any], Any]
Layer = list[str | None]


class DatasetTransform:
    """The transform of a port's dataset, for what its input converter gives.

    A value that is a tensor already, or a number, is what a dataset gives, not what its transform
    takes: then nothing is applied, unless the config says so.

    Args:
        dataset: The name of the dataset.
        find: Finds its transform; called with whether the dataset may be built for it.
        wanted: What the config says; None leaves it to the value.
    """

    def __init__(
        self, dataset: str, find: Callable[[bool], OwnTransform], wanted: bool | None
    ) -> None:
        self.dataset = dataset
        self.find = find
        self.wanted = wanted
        self._is_told = False

    @cached_property
    def own(self) -> OwnTransform:
        """The transform; the dataset is built where only that can tell."""
        return self.find(True)

    @cached_property
    def _written(self) -> OwnTransform:
        return self.find(False)

    def __call__(self, value: Any) -> Any:
        """What the dataset makes of a value.

        Raises:
            ConfigError: The config asks for a transform that there is not.
            UserCodeError: The transform raised.
        """
        if self.wanted is False:
            return value
        if self.wanted is None and not is_raw(value):
            if _would_change(value, self._written.apply):
                self._tell(
                    f"applies a transform of its own, and not to what the input converter gives, "
                    f'{_described(value)}; "transform": true in inputs_meta applies it, false says '
                    "that it is not needed"
                )
            return value
        own = self.own
        if own.apply is not None:
            what = f'the transform of the dataset "{own.dataset}"'
            try:
                return own.apply(value)
            except UserError:
                raise
            except Exception as error:
                if is_from_users_code(error):
                    raise UserCodeError(what) from error
                raise DataError(f"{what} cannot take {_described(value)}: {error}") from None
        if self.wanted:
            why = own.unknown or "it has none that can be found"
            raise ConfigError(f'the transform of the dataset "{own.dataset}" is asked for: {why}')
        if own.unknown:
            self._tell(
                f"may apply a transform of its own, which cannot be applied here: {own.unknown}; "
                'the input converter has to do it, and "transform": false in inputs_meta says so'
            )
        return value

    def _tell(self, what: str) -> None:
        if not self._is_told:
            self._is_told = True
            _log.warning(f'the dataset "{self.dataset}" {what}')


def _would_change(value: Any, transform: Process | None) -> bool:
    """Whether a transform can be applied to a value, and makes another one of it."""
    if transform is None:
        return False
    try:
        with seeded(0):
            given = transform(copy.deepcopy(value))
    except Exception:
        return False
    if isinstance(value, torch.Tensor) and isinstance(given, torch.Tensor):
        return value.shape != given.shape or not torch.equal(value, given)
    return True


def is_raw(value: Any) -> bool:
    """Whether a value is what transforms of datasets take: an image, a text, uint8 pixels."""
    if isinstance(value, (np.ndarray, torch.Tensor)):
        return str(value.dtype).removeprefix("torch.") == "uint8"
    return isinstance(value, (str, bytes)) or type(value).__module__.startswith("PIL.")


def _described(value: Any) -> str:
    kind = type(value).__name__
    if type(value).__module__.startswith("PIL."):
        return f"an image of mode {value.mode} and size {value.size}"
    if isinstance(value, (np.ndarray, torch.Tensor)):
        return f"a {kind} of {str(value.dtype).removeprefix('torch.')}, shape {tuple(value.shape)}"
    if isinstance(value, list) and len(value) == 1:
        return f"a list of {'None' if value[0] is None else _described(value[0])}"
    return f"a value of type {kind}"


@dataclass(frozen=True, slots=True, eq=False)
class InferenceInput:
    """From the text of one input to the frame of one port.

    Args:
        port: The name of the port.
        converter: Text → value, or a tuple of the first columns.
        transform: What the dataset makes of the first column itself.
        layers: The preprocessors of the dataset, from the inmost out, one a column.
        collator: The collator of the loader factory.
        columns: The names of the columns; an input may have fewer than the batches of training.
        source: The name of the loader factory, for messages.
        dropped: Names of columns that no frame gets.
    """

    port: str
    converter: Process | None
    transform: DatasetTransform
    layers: Sequence[Sequence[Process | None]]
    collator: Callable[[Sequence[Any]], Any]
    columns: tuple[str, ...] | None
    source: str
    dropped: frozenset[str] = frozenset()

    def frame(self, text: str) -> Frame:
        """A frame with one row."""
        example = as_columns(self._run(self.converter, text, "the input converter"))
        if example:
            example = (self._transformed(example[0]), *example[1:])
        for layer in self.layers:
            example = tuple(
                value if index >= len(layer) else self._run(layer[index], value, "a preprocessor")
                for index, value in enumerate(example)
            )
        batch = self._run(self.collator, [example], "the collator")
        names = None if self.columns is None else self.columns[: len(example)]
        return named(names, self.source, self.dropped)(batch)

    def _transformed(self, value: Any) -> Any:
        try:
            return self.transform(value)
        except DataError as error:
            if self.converter is not None:
                raise
            raise DataError(
                f'{error}; no input converter is named for the port "{self.port}", which '
                "inputs_meta of an inference config does"
            ) from None

    def hint(self, frame: Frame) -> str:
        """What there is to say where a graph cannot take a frame."""
        column = next(iter(frame.values()), None)
        value = column[0] if isinstance(column, list) and column else column
        is_text = isinstance(value, (str, bytes))
        if is_raw(value) and not is_text and not self.transform.own.is_sure:
            if self.transform.wanted is False:
                return (
                    f'the input converter of the port "{self.port}" gave {_described(value)}, and '
                    f'"transform": false disables the transform of the dataset '
                    f'"{self.transform.dataset}" for it'
                )
            return (
                f'the input converter of the port "{self.port}" gave {_described(value)}, and no '
                f'transform of the dataset "{self.transform.dataset}" was found for it: what a '
                "dataset does to its examples in its own code, the input converter has to do"
            )
        shown = ", ".join(f'"{name}" is {_described(value)}' for name, value in frame.items())
        return f'at the port "{self.port}" {shown}'

    def files_of(self, text: str) -> list[str] | None:
        """The files of a folder that is given as an input; None where it is no list of inputs.

        That is where the converter cannot take the folder itself. What the converter says that it
        does not read (``suffixes``), what is hidden, and folders inside it are passed over.

        Raises:
            DataError: There is no file that the converter reads.
        """
        if self.converter is None or not os.path.isdir(text) or self._takes(text):
            return None
        suffixes = getattr(self.converter, "suffixes", None)
        names = sorted(os.listdir(text))
        paths = [os.path.join(text, name) for name in names if not name.startswith(".")]
        files = [path for path in paths if os.path.isfile(path)]
        read = [f for f in files if suffixes is None or f.lower().endswith(tuple(suffixes))]
        if not read:
            kinds = "" if suffixes is None else " of a kind that the input converter reads"
            raise DataError(f"the folder {text} holds no file{kinds}")
        if len(read) < len(paths):
            left = [os.path.basename(path) for path in paths if path not in set(read)]
            _log.warning(
                f"of the folder {text}, {listing(left, limit=5)} "
                f"{'is' if len(left) == 1 else 'are'} skipped: no file of a kind that the input "
                "converter reads"
            )
        return read

    def _takes(self, text: str) -> bool:
        assert self.converter is not None, "only a converter can take something"
        try:
            self.converter(text)
        except (OSError, RuntimeError, UserError):
            return False
        except Exception:
            return True
        return True

    def _run(self, function: Process | None, value: Any, what: str) -> Any:
        if function is None:
            return value
        with blaming(f'{what} of the port "{self.port}"'):
            return function(value)


def wanted_for_inference(spec: Spec, pipeline: PipelineSpec) -> Iterator[Key]:
    """The collators and preprocessors of a pipeline's data; not the data."""
    loaders = spec.group("loader_factories")
    for item in pipeline.input_factories:
        loader = loaders.get(item.loader_factory or "")
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
            message = f'"input_alias" is needed; the ports are {listing(list(feeds))}'
            raise builder.maker.problem(message, ("inputs_meta", index))
        if port not in feeds:
            message = f'the pipeline has no port "{port}"{near(port, feeds)}'
            raise builder.maker.problem(message, ("inputs_meta", index, "input_alias"))
        if port in metas:
            message = f'the port "{port}" is listed twice'
            raise builder.maker.problem(message, ("inputs_meta", index))
        metas[port] = (index, meta)
    ports = [*metas, *(port for port in feeds if port not in metas)]
    return [_input(builder, port, feeds[port], metas.get(port)) for port in ports]


def _input(
    builder: Builder, port: str, feed: InputFactorySpec, meta: tuple[int, Any] | None
) -> InferenceInput:
    if feed.loader_factory is None:
        message = (
            f'the port "{port}" is fed by the pipeline "{feed.from_pipeline}"; inputs can only be '
            "given to a pipeline that loaders feed"
        )
        raise builder.maker.problem(message, ("inference_pipeline",))
    parts, loader = builder.parts, builder.spec.group("loader_factories")[feed.loader_factory]
    converter = None
    if meta is not None and meta[1].input_converter is not None:
        path: Path = ("inputs_meta", meta[0], "input_converter")
        what = f'the input converter of the port "{port}"'
        converter = builder.maker.make(meta[1].input_converter, path, what, "input_converter")
    find = partial(own_transform, builder, loader.dataset)
    wanted = None if meta is None else meta[1].transform
    return InferenceInput(
        port,
        converter,
        DatasetTransform(loader.dataset, find, wanted),
        [
            [parts.preprocessors[name].process if name else None for name in layer]
            for layer in _layers(builder.spec, loader.dataset)
        ],
        parts.collators[loader.collator] if loader.collator else DefaultCollator(),
        tuple(feed.columns) if feed.columns else None,
        feed.loader_factory,
        unread_columns(builder.spec),
    )


def _layers(spec: Spec, name: str, above: frozenset[str] = frozenset()) -> list[Layer]:
    """The names of the preprocessors that the examples of a dataset go through, inmost first."""
    if name in above:  # a cycle, which the check of the config reports
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
