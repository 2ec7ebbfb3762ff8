"""With what a stage begins: the state of an earlier stage, and parts that begin anew."""

from __future__ import annotations

from collections.abc import Mapping

from torchassistant.config.checks.keyed_columns import may_be_key
from torchassistant.config.checks.resolver import Names
from torchassistant.config.checks.scope import Scope
from torchassistant.config.checks.unknown import Unknown
from torchassistant.config.checks.view import View


def check_beginning(scope: Scope, stage: View, rows: Mapping[int, Names]) -> None:
    """Check ``start_from`` and ``reset`` of a stage.

    Args:
        scope: The config.
        stage: The stage.
        rows: The columns of the rows of the stages before it, by index.
    """
    _reset(scope, stage)
    start = stage.start_from
    if not isinstance(start, View):
        return
    source = _source(scope, stage, start)
    if source == int(stage.path[-1]) - 1 and start.checkpoint == "last":
        scope.diagnostics.warn(
            "a stage begins with the last state of the one before anyway", start.path
        )
    _checkpoint(scope, start, None if source is None else rows.get(source))
    models = start.models
    if models is not None and not isinstance(models, Unknown):
        for use in models.repeated():
            scope.note(f'"{use.name}" is listed twice', use.path)
        scope.resolver.resolve(
            scope.names("models"),
            models,
            lambda name, hint: f'no model is named "{name}"{hint}',
            only_one=False,
            is_shared=True,
        )


def _reset(scope: Scope, stage: View) -> None:
    """What begins anew is there, and has begun before."""
    names = stage.reset
    if isinstance(names, Unknown) or not names:
        return
    if stage.path[-1] == 0:
        message = "nothing has begun before the first stage, so nothing can begin anew in it"
        scope.note(message, stage.at("reset"))
        return
    for use in names.repeated():
        scope.note(f'"{use.name}" is listed twice', use.path)
    groups = [scope.names(group) for group in ("optimizers", "models")]
    unreadable = sum(known.unreadable + len(known.unsure) for known in groups)
    scope.resolver.resolve(
        Names(scope.spec.resettable, unreadable),
        names,
        lambda name, hint: f'nothing that can begin anew is named "{name}"{hint}',
        only_one=False,
        is_shared=True,
    )


def _source(scope: Scope, stage: View, start: View) -> int | None:
    """The index of the stage that another starts from, where it can be said."""
    own, meant = int(stage.path[-1]), start.stage
    if isinstance(meant, Unknown):
        return None
    stages = scope.spec.train.stages[:own]
    if isinstance(meant, int):
        if meant < own:
            return meant
        message = f"only an earlier stage can be started from, and this stage has the index {own}"
        scope.note(message, start.at("stage"))
        return None
    earlier = {one.name: index for index, one in enumerate(stages) if one.name is not None}
    scope.resolver.resolve(
        Names(list(earlier)),
        [start.use("stage")],
        lambda name, hint: f'no earlier stage is named "{name}"{hint}',
        only_one=False,
        is_shared=True,
    )
    found = start.stage
    return None if isinstance(found, Unknown) else earlier.get(found)


def best_views(scope: Scope) -> list[View]:
    """What the best checkpoints are chosen by, as far as it can be read."""
    best = scope.config.checkpoints.best
    if isinstance(best, View):
        return [best]
    return [] if best is None or isinstance(best, Unknown) else list(best)


def _checkpoint(scope: Scope, start: View, columns: Names | None) -> None:
    """The best is known by a monitor that is there; the last needs none."""
    if start.checkpoint == "last":
        if start.monitor is not None:
            message = '"monitor" belongs to the best checkpoint'
            scope.note(message, start.at("monitor"), at_key=True)
        return
    bests = best_views(scope)
    where = start.at("checkpoint") if start.has("checkpoint") else start.path
    if scope.config.checkpoints.best is None:
        scope.note('the best checkpoint is known by "checkpoints.best", which is missing', where)
    monitors = [best.monitor for best in bests]
    if not monitors or any(isinstance(monitor, Unknown) for monitor in monitors):
        return
    monitor = monitors[0]
    if start.monitor is not None:
        monitor = start.monitor if start.monitor in monitors else monitor
        scope.resolver.resolve(
            Names(monitors),
            [start.use("monitor")],
            lambda name, hint: f'no best checkpoint is kept by "{name}"{hint}',
            only_one=False,
            is_shared=True,
        )
    is_there = columns is None or monitor in columns.names or may_be_key(monitor, columns)
    if columns is not None and columns.complete and not is_there:
        scope.note(f'no row of that stage has "{monitor}", by which the best is known', where)
