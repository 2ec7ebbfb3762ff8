"""Losses and metrics, each with the transform of its inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from torchassistant.assembly.build_context import BuildContext, Defined
from torchassistant.assembly.groups.assembler import Assembler, Member
from torchassistant.assembly.inputs_by_keyword import called_first, in_order
from torchassistant.assembly.parts import Parts
from torchassistant.config import COUNT_OF_LOSS, TRANSFORM_OF_SCORE, ObjectSpec
from torchassistant.errors import DataError, blaming
from torchassistant.training import (
    WHOLE,
    CountByFunction,
    CountOfColumn,
    KeywordLoss,
    Loss,
    Metric,
    better_of,
    is_of_torchmetrics,
)


def _build_loss(context: BuildContext, one: Defined) -> Any:
    function, transform = context.object_of(one), _transform(context, one)
    called = called_first(function, transform, "forward")
    if transform is None and one.spec.models:
        called = partial(called, *one.spec.models)
    columns, keywords = in_order(one.spec.inputs, called)
    kind = KeywordLoss if keywords and transform is None else Loss
    loss = kind(one.what, function, columns, transform, keywords=keywords)
    loss.named_count, loss.report = _count(context, one), tuple(one.spec.report)
    if loss.named_count is not None and loss.sums:
        message = f'"count" says what a mean is over, and {one.what} is a sum'
        raise context.maker.problem(message, (*one.path, "count"))
    if loss.keys == () and loss.report:
        message = f'{one.what} gives one number, and "report" names "{loss.report[0]}"'
        raise context.maker.problem(message, (*one.path, "report"))
    context.parts.loss_calls[one.name] = loss
    return function


def _build_metric(context: BuildContext, one: Defined) -> Metric:
    function, transform = context.object_of(one), _transform(context, one)
    if is_of_torchmetrics(function, "MetricTracker"):
        message = (
            f"{one.what} is a MetricTracker, which remembers values over epochs, as the history "
            'does here: name the metric in it; "checkpoints.best" keeps the best state by it'
        )
        raise context.maker.problem(message, one.path)
    _expect_mode(context, one, function)
    columns, keywords = in_order(one.spec.inputs, called_first(function, transform, "update"))
    shared = context.parts.with_models
    return Metric(one.what, function, columns, transform, shared, keywords)


def _expect_mode(context: BuildContext, one: Defined, metric: Any) -> None:
    """See that a metric says of what it gives that less is better, or more, or nothing."""
    try:
        with blaming(one.what):
            better_of(metric, WHOLE)
    except DataError as error:
        raise context.maker.problem(f"{one.what}: {error}", one.path) from None


def _count(context: BuildContext, one: Defined) -> CountOfColumn | CountByFunction | None:
    spec = one.spec.count
    if spec is None or isinstance(spec, str):
        return None if spec is None else CountOfColumn(spec)
    what = f"the count of {one.what}"
    function = context.callable_of(spec, (*one.path, "count"), what, COUNT_OF_LOSS.name)
    is_keyed = isinstance(one.spec.inputs, dict) and one.spec.transform is None
    return CountByFunction(function, one.spec.inputs if is_keyed else None)


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
    loss = parts.loss_calls[name]
    if loss.transform is not None:
        yield Member(f"losses/{name}/transform", loss.transform)
    if isinstance(loss.named_count, CountByFunction):
        yield Member(f"losses/{name}/count", loss.named_count.function)


def _members_of_metric(parts: Parts, name: str) -> Iterator[Member]:
    metric = parts.metrics[name]
    # Metrics that are kept from batch to batch begin anew with each pass.
    yield Member(f"metrics/{name}", metric.function, stored=not hasattr(metric.function, "update"))
    if metric.transform is not None:
        is_kept = hasattr(metric.transform, "update")
        yield Member(f"metrics/{name}/transform", metric.transform, stored=not is_kept)


LOSSES = Assembler(_build_loss, _members_of_loss)
METRICS = Assembler(_build_metric, _members_of_metric)
