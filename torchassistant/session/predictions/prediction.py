"""Predictions for inputs that a person gives as text."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torchassistant.assembly import Builder, InferenceInput, Parts, inference_inputs
from torchassistant.config import INFERENCE_POSTPROCESSOR, InferenceSpec, Spec
from torchassistant.data import derived, seeded
from torchassistant.errors import (
    ConfigError,
    DataError,
    NoColumn,
    UserCodeError,
    UserError,
    blaming,
    listing,
    near,
)
from torchassistant.frames import Frames
from torchassistant.session.building.lazy_datasets import DatasetsOnDemand
from torchassistant.training import infer

Input = str | dict[str, str]
"""The text that a prediction is for; where the ports are several, one for each by its name."""


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The result of one input.

    Args:
        input: What it is for.
        result: The kept columns, or what the post-processor made of them.
        error: Why there is no result; None where there is one.
        index: Of the example in its dataset, where it is one; its input is the same as a text.
    """

    input: Input
    result: Any = None
    error: UserError | UserCodeError | None = None
    index: Any = None

    @property
    def shown_input(self) -> str:
        """The input as a person would write it."""
        return self.input if isinstance(self.input, str) else ", ".join(self.input.values())


class NotPredicted(DataError):
    """For some inputs there is no prediction.

    Args:
        predictions: All of them, those with an ``error`` too.
    """

    def __init__(self, predictions: Sequence[Prediction]) -> None:
        self.predictions = list(predictions)
        failed = [one for one in predictions if one.error is not None]
        super().__init__(*(f"{one.shown_input}: {reason_of(one.error)}" for one in failed))


def reason_of(error: Exception | None) -> str:
    """Why there is no prediction, in a sentence: what was raised in code of the user, too."""
    if isinstance(error, UserCodeError) and error.__cause__ is not None:
        cause = error.__cause__
        return f"{error.part}: {type(cause).__name__}: {cause}"
    return str(error)


class Predictor:
    """Makes predictions.

    Args:
        parts: Where the pipeline, its models and its preprocessors are.
        builder: What they were built with.
        spec: The pipeline, the converters of its inputs, the results, the post-processor.
    """

    def __init__(self, parts: Parts, builder: Builder, spec: InferenceSpec) -> None:
        name = default_pipeline(builder.spec, spec)
        if name not in parts.pipelines:
            raise ConfigError(f'no pipeline is named "{name}"{near(name, parts.pipelines)}')
        self.pipeline = parts.pipelines[name]
        self.ports = inference_inputs(builder, builder.spec.initialize.pipelines[name], spec)
        self.results = spec.results
        self.seed = derived(parts.seed, "inputs")
        self.finish = postprocessor_of(parts, builder, spec)

    def groups(self, inputs: Sequence[str]) -> list[list[str] | Prediction]:
        """The texts of each prediction, one for each port; folders are the files in them.

        Args:
            inputs: Texts; where there are several ports, one for each port in turn.

        Returns:
            A failed prediction in the place of inputs that cannot be.

        Raises:
            DataError: The inputs do not go up in the ports.
        """
        count = len(self.ports)
        if not inputs or len(inputs) % count:
            names = listing([port.port for port in self.ports])
            raise DataError(
                f'the pipeline "{self.pipeline.name}" takes one input for each of its ports '
                f"({names}) a prediction; found {len(inputs)} inputs"
            )
        found: list[list[str] | Prediction] = []
        for first in range(0, len(inputs), count):
            texts = list(inputs[first : first + count])
            try:
                found += _spread(self.ports, texts)
            except UserError as error:
                found.append(Prediction(self._input(texts), error=error))
        return found

    def predictions(self, groups: Iterable[list[str] | Prediction]) -> Iterator[Prediction]:
        """A prediction for each group; one that fails does not keep the others from being made.

        Raises:
            ConfigError: The options do not fit the session.
            NoColumn: A column that is to be kept is not there.
        """
        for texts in groups:
            yield texts if isinstance(texts, Prediction) else self._prediction(texts)

    def _prediction(self, texts: Sequence[str]) -> Prediction:
        given = self._input(texts)
        hints: list[str] = []
        try:
            with seeded(self.seed):
                pairs = list(zip(self.ports, texts, strict=True))
                made = {port.port: port.frame(text) for port, text in pairs}
            frames = Frames(made, dict.fromkeys(made, 1))
            hints = [hint for port, _ in pairs if (hint := port.hint(frames[port.port]))]
            columns = infer(self.pipeline, frames, self.results)
        except (NoColumn, ConfigError):
            raise
        except UserError as error:
            return Prediction(given, error=error)
        except UserCodeError as error:
            hinted = UserCodeError("; ".join([*hints, error.part]))
            hinted.__cause__ = error.__cause__
            return Prediction(given, error=hinted)
        try:
            return Prediction(given, self.finish(columns, given))
        except (UserError, UserCodeError) as error:
            return Prediction(given, error=error)

    def _input(self, texts: Sequence[str]) -> Input:
        if len(self.ports) == 1:
            return texts[0]
        return {port.port: text for port, text in zip(self.ports, texts, strict=True)}


def _spread(ports: Sequence[InferenceInput], texts: Sequence[str]) -> list[list[str]]:
    """The inputs of some predictions, from one for each port of which some may be folders.

    Folders go through their files together, and what is no folder is the same for each of them.
    """
    files = [port.files_of(text) for port, text in zip(ports, texts, strict=True)]
    sizes = {len(found) for found in files if found is not None}
    if not sizes:
        return [list(texts)]
    if len(sizes) > 1:
        counted = [f"{t} {len(f)}" for t, f in zip(texts, files, strict=True) if f is not None]
        raise DataError(
            f"folders that are given together must hold as many files: {', '.join(counted)}"
        )
    (size,) = sizes
    columns = [[t] * size if f is None else f for t, f in zip(texts, files, strict=True)]
    return [list(row) for row in zip(*columns, strict=True)]


def predict(
    parts: Parts, builder: Builder, spec: InferenceSpec, inputs: Sequence[str]
) -> list[Any]:
    """Predictions, one for each input; for each group of inputs where the ports are several.

    Returns:
        For each prediction the kept columns, or what the post-processor made of them.

    Raises:
        NotPredicted: For some of several inputs there is no prediction; it brings the others.
        UserError: The only input does not fit.
        UserCodeError: The user's code raised for the only input.
    """
    predictor = Predictor(parts, builder, spec)
    made = list(predictor.predictions(predictor.groups(inputs)))
    if len(made) == 1 and made[0].error is not None:
        raise made[0].error
    if any(one.error is not None for one in made):
        raise NotPredicted(made)
    return [one.result for one in made]


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


def offered(function: Callable[..., Any], **known: Any) -> dict[str, Any]:
    """What a function wants of what is known, beside its first argument: by the names of these."""
    # Of an object, what its class has: it is asked nothing itself.
    is_object = not (inspect.isroutine(function) or inspect.isclass(function))
    called = types.MethodType(type(function).__call__, function) if is_object else function
    try:
        _, *others = inspect.signature(called).parameters.values()
    except (TypeError, ValueError):  # its signature is unknown, or it takes nothing
        return {}
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {p.name: known[p.name] for p in others if p.name in known and p.kind in kinds}


def made_postprocessor(parts: Parts, builder: Builder, spec: InferenceSpec) -> Any:
    """The post-processor itself; None where the config names none.

    It may ask for any dataset, whichever were built.
    """
    if spec.postprocessor is None:
        return None
    if len(parts.datasets) < sum(key.group == "datasets" for key in builder.definitions):
        parts.datasets = DatasetsOnDemand(builder)
    path, what, role = ("postprocessor",), "the post-processor", INFERENCE_POSTPROCESSOR.name
    return builder.maker.make(spec.postprocessor, path, what, role, [parts])


def postprocessor_of(
    parts: Parts, builder: Builder, spec: InferenceSpec
) -> Callable[[dict[str, Any], Input], Any]:
    """What is done with the columns of a prediction, and what it is for."""
    process = made_postprocessor(parts, builder, spec)
    if process is None:
        return lambda columns, given: columns

    def run(columns: dict[str, Any], given: Input) -> Any:
        with blaming("the post-processor"):
            return process(columns, **offered(process, input=given))

    return run
