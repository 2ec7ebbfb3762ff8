"""Pipelines: what feeds their ports, and what their losses and metrics are computed from."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from torchassistant.config.checks.graphs import COMPILED_TAPS
from torchassistant.config.checks.resolver import Names, Use
from torchassistant.config.checks.scope import Scope
from torchassistant.config.checks.unknown import Unknown
from torchassistant.config.checks.view import View, columns_in
from torchassistant.config.spec import PipelineSpec
from torchassistant.config.tree import Path
from torchassistant.errors import listing

RESERVED = ("epoch", "step", "seconds", "stage", "skipped")
_OF_STEP_ROWS = ("lr/", "grad_norm/")
"""Columns of the history that are there already."""

_GRAPHS = ("batch_graphs", "batch_processors", "models")
"""Groups that a graph which is left out is filled in from."""

_FORMULA = ("=", "+", "-", "@")
"""What a cell that a spreadsheet takes for a formula begins with."""


class Score(NamedTuple):
    """A loss or metric of a pipeline, and the keys under which the pipeline speaks of it."""

    view: View
    group: str
    name_key: str
    display_key: str

    @property
    def name(self) -> Any:
        """The loss or metric that is meant."""
        return getattr(self.view, self.name_key)

    @property
    def written_key(self) -> str:
        """The key under which its display name is written."""
        return self.display_key if self.view.has(self.display_key) else self.name_key

    @property
    def place(self) -> Path:
        """Where its display name is written."""
        return self.view.at(self.written_key)


def scores(pipeline: View) -> Iterator[Score]:
    """The losses and the metrics of a pipeline."""
    for loss in pipeline.losses:
        yield Score(loss, "losses", "loss_name", "loss_display_name")
    for metric in pipeline.metrics:
        yield Score(metric, "metrics", "metric_name", "display_name")


class Shown(NamedTuple):
    """A display name of a pipeline, unknown where it cannot be read, and where it is written."""

    name: Any
    place: Path


def shown_by(scope: Scope, pipeline: View, step_key: str) -> Iterator[Shown]:
    """The display names of the losses of a pipeline, as a step of its own may name them.

    Args:
        scope: The names of the spec.
        pipeline: Whose.
        step_key: Where the step is: ``train_step`` in training, ``eval_step`` in evaluation.
    """
    step = getattr(pipeline, step_key)
    if isinstance(step, View) and step.block.losses is not None:
        losses = step.losses
        if isinstance(losses, Unknown):
            yield Shown(losses, step.at("losses"))
            return
        for use in losses.uses():
            meant = use.name if scope.diagnostics.is_whole(use.path) else Unknown()
            yield Shown(meant, use.path)
        return
    for score in scores(pipeline):
        if score.group == "losses":
            yield Shown(shown_as(scope, score), score.place)


def check_pipelines(scope: Scope, used: Collection[str] | None) -> None:
    """Check the pipelines that are to be run; all, where it is to be trained."""
    for _, pipeline in scope.pipelines(used):
        for item in pipeline.input_factories:
            names = columns_in(item, "variable_names")
            listed = names.repeated() if names else ()
            for column in (use for use in listed if use.name not in scope.unread):
                scope.note(f'the column "{column.name}" is named twice', column.path)
        if pipeline.graph is None and scope.are_complete(*_GRAPHS):
            scope.note(_which_graph(scope), pipeline.path)
        _ends(scope, pipeline)
        wiring = scope.wiring(pipeline)
        _ports(scope, pipeline, wiring)
        _compiled_taps(scope, pipeline)
        _models(scope, pipeline)
        if isinstance(pipeline.block, PipelineSpec) and scope.scored:
            _scores(scope, pipeline, wiring)
            _weights(scope, pipeline)


def _compiled_taps(scope: Scope, pipeline: View) -> None:
    """What is compiled as a whole has no modules that taps could look into."""
    if not getattr(pipeline.block, "compile", False):
        return
    for node in scope.nodes(pipeline):
        if isinstance(node, View) and node.block.taps:
            message = f'{COMPILED_TAPS}; the node "{node.block.node_name}" has some'
            scope.note(message, pipeline.at("compile"), at_key=True)


def shown_as(scope: Scope, score: Score) -> Any:
    """The display name of a loss or metric; unknown where it cannot be read."""
    view, written = score.view, score.view.resolver.written
    if isinstance(written(view.use(score.display_key)), Unknown):
        return Unknown()
    name = view.block.shown_as
    is_default = score.written_key == score.name_key
    is_name_wrong = is_default and isinstance(written(view.use(score.name_key)), Unknown)
    return score.name if is_name_wrong and not scope.is_defined(name) else name


def _which_graph(scope: Scope) -> str:
    graphs = list(scope.groups["batch_graphs"])
    if graphs:
        return f'"graph" is needed, as there are several: {listing(graphs)}'
    processors = list(scope.groups["batch_processors"])
    if processors:
        return f"a batch graph is needed, as there are several processors: {listing(processors)}"
    models = list(scope.groups["models"])
    found = listing(models) if models else "none"
    return f"a batch processor can be filled in for one model; the models are {found}"


def _ends(scope: Scope, pipeline: View) -> None:
    """Where each loader begins anew, no pass would end."""
    items = pipeline.input_factories
    if isinstance(items, Unknown) or items.unreadable:
        return
    if all(item.when_exhausted == "restart" for item in items):
        message = "a pass would never end: every loader of the pipeline begins anew"
        scope.note(message, next(iter(items)).at("when_exhausted"))


def _ports(scope: Scope, pipeline: View, wiring: Any) -> None:
    """Each port is fed once."""
    if isinstance(wiring, Unknown):
        return
    items = pipeline.input_factories
    scope.resolver.resolve(
        wiring.ports,
        [item.use("input_alias") for item in items if item.block.input_alias is not None],
        lambda name, hint: f'the graph has no port "{name}"{hint}',
    )
    fed: set[str] = set()
    unreadable, readable = items.unreadable, list(items)
    for item in readable:
        port = scope.port(item, wiring)
        if item.block.input_alias is None and (isinstance(port, Unknown) or len(readable) > 1):
            _needed(scope, item, "input_alias", "the ports are", wiring.ports)
        elif port in fed:
            scope.note(f'the port "{port}" is fed twice', item.at("input_alias"))
        unreadable += isinstance(port, Unknown) or port in fed
        fed.add(port)
    unfed = [port for port in _used_ports(wiring) if port not in fed]
    for port in unfed[: max(0, len(unfed) - int(min(unreadable, len(unfed))))]:
        scope.note(f'nothing feeds the port "{port}" of the graph', pipeline.at("input_factories"))


def _models(scope: Scope, pipeline: View) -> None:
    """Models stand in for those that the graph runs."""
    table = pipeline.models
    if not isinstance(table, dict):
        return
    nodes = scope.nodes(pipeline)
    run = [node if isinstance(node, Unknown) else node.model_name for node in nodes]
    if isinstance(pipeline.block, PipelineSpec) and scope.scored:
        for item in pipeline.losses:
            loss = scope.groups["losses"][item.loss_name]
            run += [loss] if isinstance(loss, Unknown) else loss.spec.models.all()
    names = [name for name in run if isinstance(name, str)]
    scope.resolver.resolve(
        Names(dict.fromkeys(names), len(run) - len(names)),
        [Use(other, pipeline.at("models", other), True) for other in table],
        lambda name, hint: f'neither the graph nor a loss runs a model "{name}"{hint}',
        only_one=False,
    )
    for other, name in table.items():
        if other == name:
            message = f'"{name}" stands in its own place, so that this has no effect'
            scope.note(message, pipeline.at("models", other))


def _needed(scope: Scope, view: View, key: str, words: str, known: Any) -> None:
    """Report a name that is left out, though there are several."""
    if known.complete and getattr(view, key) is None:
        scope.note(f'"{key}" is needed; {words} {listing(list(known.names))}', view.path)


def _used_ports(wiring: Any) -> list[str]:
    """The ports that feed something; none where their names cannot be read."""
    if not wiring.ports.complete:
        return []
    used = {source for sources in wiring.fed_by.values() for source in sources}
    return [p for p in wiring.ports.names if p in used and p not in wiring.ports.unsure]


def _scores(scope: Scope, pipeline: View, wiring: Any) -> None:
    seen: set[str] = set()
    uses = []
    for score in scores(pipeline):
        check_display(scope, Shown(shown_as(scope, score), score.place), seen)
        if score.view.block.node_name is not None:
            uses.append(score.view.use("node_name"))
        elif isinstance(scope.node(score.view, wiring), Unknown):
            _needed(scope, score.view, "node_name", "the graph has", wiring.nodes)
    scope.resolver.resolve(
        wiring.nodes, uses, lambda name, hint: f'the graph has no node "{name}"{hint}'
    )


def _weights(scope: Scope, pipeline: View) -> None:
    """Weights that are to be divided by their sum have one that is no 0."""
    losses = pipeline.losses
    if pipeline.normalize_weights is not True or isinstance(losses, Unknown) or losses.unreadable:
        return
    weights = [loss.weight for loss in losses]
    if not all(isinstance(weight, (int, float)) for weight in weights):
        # Unknown; or an object, whose numbers are seen in training.
        return
    place = pipeline.at("normalize_weights")
    if not weights:
        scope.note("there are no losses whose weights could be normalized", place)
    elif not 0 < abs(sum(weights)) < math.inf:
        scope.note(f"weights that add up to {sum(weights):g} cannot be normalized", place)


def check_display(scope: Scope, shown: Shown, seen: set[str]) -> None:
    """Check the display name of a loss or metric.

    Args:
        scope: Gets the problems.
        shown: The name, and where it is.
        seen: Those that the pipeline shows beside it; it is added.
    """
    name, place = shown
    if isinstance(name, Unknown):
        return
    if name in seen:
        scope.note(f'"{name}" is shown twice by this pipeline', place)
    seen.add(name)
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        scope.note("a display name holds no control characters", place)
    if name[:1] in _FORMULA:
        message = f'a display name begins with no "{name[0]}": spreadsheets run such cells'
        scope.note(message, place)
    if name in RESERVED:
        scope.note(f'"{name}" is a column of the history already', place)
    elif scope.spec.log is not None and (name == "time" or name.startswith(_OF_STEP_ROWS)):
        scope.note(f'"{name}" is a column of the rows that "log" adds', place)
