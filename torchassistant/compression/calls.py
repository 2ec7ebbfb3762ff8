"""What the models of a session are called with, taken down while a pipeline runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from torchassistant.config import origin_of, path_within
from torchassistant.session import Session

TRAINING_BATCHES = 16
"""So many batches tell the range of values."""


class ModelCall(NamedTuple):
    """What a model was called with."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class PartCall(NamedTuple):
    """A call of a model, or of a part of it.

    Args:
        path: Of the part; empty where the whole is called.
        call: What it was called with.
    """

    path: str
    call: ModelCall


def calls_of(
    session: Session, pipeline: str, models: Mapping[str, nn.Module], batches: int
) -> list[tuple[str, ModelCall]]:
    """What models are called with when a pipeline is evaluated, in order.

    Args:
        session: Has the pipeline.
        pipeline: Its name.
        models: By name; calls of others are left out.
        batches: How many are run.
    """
    calls: list[tuple[str, ModelCall]] = []

    def noting(name: str) -> Callable[..., None]:
        def note(module: nn.Module, args: Any, kwargs: Any) -> None:
            calls.append((name, ModelCall(args, dict(kwargs))))

        return note

    handles = [
        model.register_forward_pre_hook(noting(name), with_kwargs=True)
        for name, model in models.items()
    ]
    try:
        session.evaluate([pipeline], {pipeline: batches}, evaluators=())
    finally:
        for handle in handles:
            handle.remove()
    return calls


def training_calls(session: Session) -> dict[str, list[PartCall]]:
    """What models are called with in eval mode on batches of the last stage's training data.

    By the names of those that averages and parts are made from; where a stage has several
    pipelines, the first one that calls a model counts.
    """
    found: dict[str, list[PartCall]] = {}
    for pipeline in session.spec.train.stages[-1].trained_pipelines:
        models = models_in(session, pipeline)
        calls = by_origin(session, calls_of(session, pipeline, models, TRAINING_BATCHES))
        found = calls | found
    return found


def models_in(session: Session, pipeline: str) -> dict[str, nn.Module]:
    """The models that the nodes of a pipeline run, by name."""
    nodes = {id(node.model) for node in session.pipelines[pipeline].graph.nodes}
    return {name: model for name, model in session.models.items() if id(model) in nodes}


def by_origin(session: Session, calls: list[tuple[str, ModelCall]]) -> dict[str, list[PartCall]]:
    """Calls of the models that averages and parts are made from, by the names of those."""
    specs = session.spec.group("models")
    found: dict[str, list[PartCall]] = {}
    for name, call in calls:
        own = PartCall(path_within(name, specs), call)
        found.setdefault(origin_of(name, specs), []).append(own)
    return found


def with_rows(call: ModelCall, size: int) -> ModelCall:
    """The same call for a batch of another size: rows are left out, or repeated."""
    tensors = [t for t in tensors_in((call.args, call.kwargs)) if t.ndim]
    rows = tensors[0].shape[0] if tensors else 0

    def cut(value: Any) -> Any:
        if isinstance(value, Tensor):
            axis = next((i for i, n in enumerate(value.shape[:2]) if n == rows), None)
            if axis is None or not rows:
                return value
            index = torch.arange(size, device=value.device) % rows
            return value.index_select(axis, index)
        if isinstance(value, dict):
            return {key: cut(one) for key, one in value.items()}
        if type(value) in (list, tuple):
            return type(value)(cut(one) for one in value)
        return value

    return ModelCall(cut(call.args), cut(call.kwargs))


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors in a value, and in its lists, tuples and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from tensors_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from tensors_in(one)


@contextmanager
def evaluating(models: Iterable[nn.Module]) -> Iterator[None]:
    """Models in eval mode."""
    before = [(part, part.training) for model in models for part in model.modules()]
    for part, _ in before:
        part.training = False
    try:
        yield
    finally:
        for part, mode in before:
            part.training = mode
