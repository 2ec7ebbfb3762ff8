"""Which definition names which: the edges that decide what is undefined and what is built first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from torchassistant.config.spec import (
    BatchProcessorSpec,
    DatasetSpec,
    DebugPipelineSpec,
    HookSpec,
    LoaderFactorySpec,
    ObjectSpec,
    OptimizerSpec,
    PipelineSpec,
    ScoreSpec,
)
from torchassistant.config.tree import Path

SLICES = {"train": 0, "val": 1, "test": 2}
DATASET_OR_SLICE = "datasets or slices"
LOSSES = "losses"

_SLICE = re.compile(r"(?P<split>[^.\[\]]+)(?:\.(?P<word>\w+)|\[(?P<index>[0-9]+)\])")


class Key(NamedTuple):
    """A definition: names are unique within their group."""

    group: str
    name: str


class Slice(NamedTuple):
    """One slice of a split."""

    split: str
    position: int


class Reference(NamedTuple):
    """One name that stands in a definition or in a pipeline.

    Args:
        path: Where, from the definition or pipeline.
        group: The group that the name is of, or ``DATASET_OR_SLICE``.
        name: The name as written.
    """

    path: Path
    group: str
    name: str


def as_slice(name: str) -> Slice | None:
    """``split.train`` or ``split[0]`` as a slice; None where the name has another form."""
    found = _SLICE.fullmatch(name)
    if not found:
        return None
    if found["index"]:
        return Slice(found["split"], int(found["index"]))
    index = SLICES.get(found["word"])
    return None if index is None else Slice(found["split"], index)


def references(definition: Any) -> Iterator[Reference]:
    """Every name of another definition in this one's spec."""
    for path, group, name in _in_spec(definition.group, definition.spec):
        yield Reference(("spec", *path), group, name)


def _in_spec(group: str, spec: Any) -> Iterator[tuple[Path, str, str]]:
    if isinstance(spec, DatasetSpec):
        if spec.link:
            yield ("link",), DATASET_OR_SLICE, spec.link
        for index, name in enumerate(spec.merge or []):
            yield ("merge", index), DATASET_OR_SLICE, name
        for index, preprocessor in enumerate(spec.preprocessors):
            if preprocessor:
                yield ("preprocessors", index), "preprocessors", preprocessor
    elif group == "splits":
        yield ("dataset_name",), DATASET_OR_SLICE, spec.dataset_name
    elif group == "preprocessors" and spec.fit:
        yield ("fit",), DATASET_OR_SLICE, spec.fit
    elif group == "loader_factories":
        yield ("dataset",), DATASET_OR_SLICE, spec.dataset
        if spec.collator:
            yield ("collator",), "collators", spec.collator
    elif isinstance(spec, (OptimizerSpec, HookSpec)) or group == "gradient_clippers":
        yield ("model",), *module_named(spec.model)
    elif isinstance(spec, BatchProcessorSpec):
        for index, node in enumerate(spec.neural_graph or []):
            yield ("neural_graph", index, "model_name"), "models", node.model_name
            if node.optimizer_name:
                yield ("neural_graph", index, "optimizer_name"), "optimizers", node.optimizer_name
    elif group == "batch_graphs":
        for index, name in enumerate(spec.nodes):
            yield ("nodes", index), "batch_processors", name


def module_named(name: str) -> Key:
    """What an optimizer, a clipper or a hook is for: a model, or ``losses.NAME``, a loss."""
    group, dot, rest = name.partition(".")
    return Key(group, rest) if dot and group == LOSSES else Key("models", name)


def references_of_pipeline(
    pipeline: PipelineSpec | DebugPipelineSpec, scored: bool = True
) -> Iterator[Reference]:
    """Every name of a definition in a pipeline; of losses and metrics where they are computed."""
    if pipeline.graph is not None:
        yield Reference(("graph",), "batch_graphs", pipeline.graph)
    for index, item in enumerate(pipeline.input_factories):
        path = ("input_factories", index, "loader_factory")
        yield Reference(path, "loader_factories", item.loader_factory)
    if isinstance(pipeline, PipelineSpec) and scored:
        for index, loss in enumerate(pipeline.losses):
            yield Reference(("losses", index, "loss_name"), "losses", loss.loss_name)
        for index, metric in enumerate(pipeline.metrics):
            yield Reference(("metrics", index, "metric_name"), "metrics", metric.metric_name)


def target(reference: Reference, defined: Mapping[Key, Any]) -> Key | None:
    """The definition that a reference means, or None where there is none."""
    if reference.group != DATASET_OR_SLICE:
        key = Key(reference.group, reference.name)
        return key if key in defined else None
    key = Key("datasets", reference.name)
    if key in defined:
        return key
    piece = as_slice(reference.name)
    key = Key("splits", piece.split if piece else "")
    return key if key in defined else None


def asks_the_session(value: Any) -> bool:
    """Whether building this gives the session to code of the user, who may look at anything."""
    if isinstance(value, ScoreSpec) and value.transform is not None:
        return True
    if isinstance(value, (ObjectSpec, DatasetSpec)):
        return bool(value.factory_fn) or asks_the_session([value.args, value.kwargs])
    if isinstance(value, BatchProcessorSpec):
        parts = [value.args, value.kwargs, value.input_adapter, value.output_adapter]
        return bool(value.factory_fn) or asks_the_session(parts)
    if isinstance(value, LoaderFactorySpec):
        return asks_the_session([value.kwargs, value.augments])
    if isinstance(value, dict):
        return "factory_fn" in value or any(map(asks_the_session, value.values()))
    if isinstance(value, list):
        return any(map(asks_the_session, value))
    return hasattr(value, "kwargs") and asks_the_session(value.kwargs)
