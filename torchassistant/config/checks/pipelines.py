"""Pipelines: what feeds their ports, and what their losses and metrics are computed from."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterator
from typing import NamedTuple

from torchassistant.config.checks.name_mistakes import Use
from torchassistant.config.checks.scope import AnyPipeline, Scope, Score, Wiring, twice
from torchassistant.config.spec import PipelineSpec
from torchassistant.config.tree import Path
from torchassistant.errors import listing

RESERVED = ("epoch", "step", "seconds", "stage", "skipped")
"""Columns of the history that are there already."""

_FORMULA = ("=", "+", "-", "@")
"""What a cell that a spreadsheet takes for a formula begins with."""


class Kind(NamedTuple):
    """The keys under which a pipeline speaks of its losses or of its metrics."""

    group: str
    name_key: str
    display_key: str


LOSS = Kind("losses", "loss_name", "loss_display_name")
METRIC = Kind("metrics", "metric_name", "display_name")


def scores(pipeline: PipelineSpec) -> Iterator[tuple[Kind, int, Score]]:
    """The losses and the metrics of a pipeline, each with its index in its list."""
    for index, loss in enumerate(pipeline.losses):
        yield LOSS, index, loss
    for index, metric in enumerate(pipeline.metrics):
        yield METRIC, index, metric


def check_pipelines(scope: Scope, used: Collection[str] | None) -> None:
    """Check the pipelines that are to be run; all, where it is to be trained."""
    for path, _, pipeline in scope.pipelines(used):
        _pipeline(scope, pipeline, path)


def shown_as(scope: Scope, kind: Kind, score: Score, path: Path) -> str | None:
    """The display name of a loss or metric at a path; None where it cannot be read."""
    if scope.is_broken(path) or scope.is_broken(path, kind.display_key):
        return None
    default = not scope.diagnostics.is_written((*path, kind.display_key))
    name_key = (*path, kind.name_key)
    if default and scope.is_broken(name_key) and not scope.is_defined(score.shown_as):
        return scope.naming.meaning.get(name_key)
    return score.shown_as


def written_key(scope: Scope, kind: Kind, path: Path) -> str:
    """The key of a loss or metric at a path under which its display name is written."""
    is_written = scope.diagnostics.is_written((*path, kind.display_key))
    return kind.display_key if is_written else kind.name_key


def _pipeline(scope: Scope, pipeline: AnyPipeline, path: Path) -> None:
    for here, item in scope.sound(pipeline.input_factories, (*path, "input_factories")):
        for place, column in twice(item.variable_names or [], (*here, "variable_names")):
            scope.note(f'the column "{column}" is named twice', place)
    wiring = None
    if pipeline.graph is None:
        is_lost = scope.may_lack("batch_graphs", "batch_processors", "models")
        if not is_lost and not _may_have(scope, path, "graph"):
            scope.note(_which_graph(scope), path)
    else:
        wiring = scope.wiring(pipeline, path)
    if wiring is not None:
        _ports(scope, pipeline, wiring, path)
    if isinstance(pipeline, PipelineSpec) and scope.scored:
        _scores(scope, pipeline, wiring, path)


def _may_have(scope: Scope, path: Path, key: str) -> bool:
    """Whether a block without a key may have it, as something in it cannot be read."""
    return scope.is_broken(path, key) or scope.has_dropped(path)


def _which_graph(scope: Scope) -> str:
    graphs = list(scope.group("batch_graphs"))
    if graphs:
        return f'"graph" is needed, as there are several: {listing(graphs)}'
    processors = list(scope.group("batch_processors"))
    if processors:
        return f"a batch graph is needed, as there are several processors: {listing(processors)}"
    models = list(scope.group("models"))
    found = listing(models) if models else "none"
    return f"a batch processor can be filled in for one model; the models are {found}"


def _ports(scope: Scope, pipeline: AnyPipeline, wiring: Wiring, path: Path) -> None:
    """Each port is fed once."""
    here = (*path, "input_factories")
    items = list(scope.sound(pipeline.input_factories, here))
    scope.naming.settle(
        wiring.ports,
        [Use(i.input_alias, (*at, "input_alias")) for at, i in items if i.input_alias is not None],
        lambda name, hint: f'the graph has no port "{name}"{hint}',
    )
    fed: set[str] = set()
    lost = scope.lost(pipeline.input_factories, here)
    for at, item in items:
        port = scope.port(item, at, wiring)
        if item.input_alias is None and (port is None or len(items) > 1):
            _alias_needed(scope, wiring, at)
        elif port in fed:
            scope.note(f'the port "{port}" is fed twice', (*at, "input_alias"))
        lost += port is None or port in fed
        fed.add(port or "")
    unfed = [port for port in _used_ports(wiring) if port not in fed]
    for port in unfed[: max(0, len(unfed) - int(min(lost, len(unfed))))]:
        scope.note(f'nothing feeds the port "{port}" of the graph', here)


def _alias_needed(scope: Scope, wiring: Wiring, path: Path) -> None:
    if not wiring.ports.lost and not _may_have(scope, path, "input_alias"):
        known = listing(list(wiring.ports.names))
        scope.note(f'"input_alias" is needed; the ports are {known}', path)


def _used_ports(wiring: Wiring) -> list[str]:
    """The ports that feed something; none where their names cannot be read."""
    if wiring.ports.lost:
        return []
    used = {source for sources in wiring.fed_by.values() for source in sources or ()}
    return [p for p in wiring.ports.names if p in used and p not in wiring.ports.doubtful]


def _scores(scope: Scope, pipeline: PipelineSpec, wiring: Wiring | None, path: Path) -> None:
    seen: set[str] = set()
    uses = []
    for kind, index, score in scores(pipeline):
        here: Path = (*path, kind.group, index)
        _display(scope, kind, score, here, seen)
        if score.node_name is not None:
            uses.append(Use(score.node_name, (*here, "node_name")))
        elif wiring is not None and scope.node(score, here, wiring) is None:
            _node_needed(scope, wiring, here)
    if wiring is not None:
        scope.naming.settle(
            wiring.nodes, uses, lambda name, hint: f'the graph has no node "{name}"{hint}'
        )


def _node_needed(scope: Scope, wiring: Wiring, path: Path) -> None:
    if not wiring.nodes.lost and not _may_have(scope, path, "node_name"):
        known = listing(list(wiring.nodes.names))
        scope.note(f'"node_name" is needed; the graph has {known}', path)


def _display(scope: Scope, kind: Kind, score: Score, path: Path, seen: set[str]) -> None:
    """Check the display name of a loss or metric."""
    name = shown_as(scope, kind, score, path)
    if name is None:
        return
    here = (*path, written_key(scope, kind, path))
    if name in seen:
        scope.note(f'"{name}" is shown twice by this pipeline', here)
    seen.add(name)
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        scope.note("a display name holds no control characters", here)
    if name[:1] in _FORMULA:
        scope.note(f'a display name begins with no "{name[0]}": spreadsheets run such cells', here)
    if name in RESERVED:
        scope.note(f'"{name}" is a column of the history already', here)
