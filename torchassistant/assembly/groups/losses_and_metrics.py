"""Losses and metrics, each with the transform of its inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from torchassistant.assembly.build_context import BuildContext, Defined
from torchassistant.assembly.groups.assembler import Assembler, Member
from torchassistant.assembly.inputs_by_keyword import called_first, in_order
from torchassistant.assembly.parts import Parts
from torchassistant.config import TRANSFORM_OF_SCORE, ObjectSpec
from torchassistant.training import KeywordLoss, Loss, Metric


def _build_loss(context: BuildContext, one: Defined) -> Any:
    function, transform = context.object_of(one), _transform(context, one)
    called = called_first(function, transform, "forward")
    if transform is None and one.spec.models:
        called = partial(called, *one.spec.models)
    columns, keywords = in_order(one.spec.inputs, called)
    kind = KeywordLoss if keywords and transform is None else Loss
    loss = kind(one.what, function, columns, transform, keywords=keywords)
    context.parts.loss_calls[one.name] = loss
    return function


def _build_metric(context: BuildContext, one: Defined) -> Metric:
    function, transform = context.object_of(one), _transform(context, one)
    columns, keywords = in_order(one.spec.inputs, called_first(function, transform, "update"))
    shared = context.parts.with_models
    return Metric(one.what, function, columns, transform, shared, keywords)


def _transform(context: BuildContext, one: Defined) -> Callable[..., Any] | None:
    spec = one.spec.transform
    if spec is None:
        return None
    if isinstance(spec, str):
        spec = ObjectSpec(class_=spec)
    path, what = (*one.path, "transform"), f"the transform of {one.what}"
    return context.callable_of(spec, path, what, TRANSFORM_OF_SCORE.name, [context.parts])


def _members_of_loss(parts: Parts, name: str) -> Iterator[Member]:
    yield Member(f"losses/{name}", parts.losses[name])
    transform = parts.loss_calls[name].transform
    if transform is not None:
        yield Member(f"losses/{name}/transform", transform)


def _members_of_metric(parts: Parts, name: str) -> Iterator[Member]:
    metric = parts.metrics[name]
    # Metrics that are kept from batch to batch begin anew with each pass.
    yield Member(f"metrics/{name}", metric.function, stored=not hasattr(metric.function, "update"))
    if metric.transform is not None:
        is_kept = hasattr(metric.transform, "update")
        yield Member(f"metrics/{name}/transform", metric.transform, stored=not is_kept)


LOSSES = Assembler(_build_loss, _members_of_loss)
METRICS = Assembler(_build_metric, _members_of_metric)
