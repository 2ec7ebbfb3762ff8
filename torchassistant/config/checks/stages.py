"""Stages: which pipelines they run, what those train, and what listens to their rows."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

from torchassistant.config.checks.name_mistakes import Known, Use
from torchassistant.config.checks.pipelines import LOSS, RESERVED, scores, shown_as, written_key
from torchassistant.config.checks.scope import DEBUG_PIPELINES, PIPELINES, Scope, twice
from torchassistant.config.history_columns import row_columns
from torchassistant.config.missing_parts import TRAINING, VALIDATION
from torchassistant.config.named_objects import objects_in
from torchassistant.config.search_paths import our_class
from torchassistant.config.spec import StageSpec
from torchassistant.config.tree import Path

STAGES: Path = ("train", "stages")
_LISTENERS = ("EarlyStopping", "TargetReached")
"""Stop conditions of ours whose first argument is a display name."""

Named = dict[Path, str | None]
"""The pipelines that a stage names: by place, what is meant; None where that cannot be said."""


def check_stages(scope: Scope) -> list[str | None]:
    """Check the stages.

    Returns:
        The training pipelines of all of them; None for those that cannot be made out.
    """
    _pipeline_names(scope)
    trained: list[str | None] = [None] if scope.is_broken(STAGES) else []
    rows = Known([], math.inf if scope.is_broken(STAGES) else 0)
    for path, stage in scope.sound(scope.spec.train.stages, STAGES):
        training = _named(scope, stage.training_pipelines, (*path, "training_pipelines"))
        validation = _named(scope, stage.validation_pipelines, (*path, "validation_pipelines"))
        trained += training.values()
        places = {name: place for place, name in reversed(training.items())}
        told = [_tells_that_it_trains_nothing(scope, name, at) for name, at in places.items()]
        if not any(told):
            _stage_trains_something(scope, list(places), (*path, "training_pipelines"))
        _shown_once(scope, validation)
        _debug(scope, stage, (*path, "debug_pipelines"))
        if isinstance(stage.eval_steps, dict):
            _eval_steps(scope, stage.eval_steps, stage, validation, (*path, "eval_steps"))
        listeners = _Listeners(scope, stage, path, training, validation)
        listeners.check()
        rows = listeners.beside(rows)
    _best(scope, rows)
    return trained


def _best(scope: Scope, rows: Known) -> None:
    """What the best checkpoints are chosen by is a column of some stage."""
    best = scope.spec.checkpoints.best
    path: Path = ("checkpoints", "best", "monitor")
    if best is None or scope.is_broken(path):
        return
    scope.naming.settle(
        rows,
        [Use(best.monitor, path)],
        lambda name, hint: f'no row of any stage has "{name}"{hint}',
    )


def _pipeline_names(scope: Scope) -> None:
    """Tell of pipelines that there are not, and of those that a stage names twice."""
    # Where there are none they are filled in, under these names.
    there = scope.spec.initialize.pipelines or [TRAINING, VALIDATION]
    known = Known(there, math.inf if scope.is_broken(PIPELINES) else 0)
    uses = []
    for path, stage in scope.sound(scope.spec.train.stages, STAGES):
        for key, names in (
            ("training_pipelines", stage.training_pipelines),
            ("validation_pipelines", stage.validation_pipelines),
        ):
            uses += [Use(name, (*path, key, index)) for index, name in enumerate(names)]
            for place, name in twice(names, (*path, key)):
                scope.note(f'"{name}" stands here twice', place)
    scope.naming.settle(known, uses, lambda name, hint: f'no pipeline is named "{name}"{hint}')


def _named(scope: Scope, names: list[str], path: Path) -> Named:
    """What is meant by the names in a list."""
    named = {(*path, i): scope.read(name, (*path, i)) for i, name in enumerate(names)}
    return {path: None} if scope.is_broken(path) else named


def _eval_steps(
    scope: Scope, table: Collection[str], stage: StageSpec, validation: Named, path: Path
) -> None:
    meant = list(validation.values())
    names = dict.fromkeys([*stage.validation_pipelines, *filter(None, meant)])
    scope.naming.settle(
        Known(names, meant.count(None)),
        [Use(name, (*path, name), True) for name in table],
        lambda name, hint: f'"{name}" is no validation pipeline of this stage{hint}',
    )


def _tells_that_it_trains_nothing(scope: Scope, name: str | None, place: Path) -> bool:
    pipeline = scope.spec.initialize.pipelines.get(name or "")
    if pipeline is None or name is None:
        return False
    at: Path = (*PIPELINES, name)
    if not pipeline.losses and not scope.is_broken(at, "losses") and not scope.has_dropped(at):
        scope.note(f'the pipeline "{name}" has no loss, so it cannot be trained', place)
    nodes = scope.nodes(pipeline, at)
    trains = any(node is None or scope.may_train(path, node) for path, node in nodes)
    if nodes and not trains and not scope.loss_optimizers(name):
        message = f'no node of the pipeline "{name}" has an optimizer, so it trains nothing'
        scope.note(message, place)
        return True
    return False


def _stage_trains_something(scope: Scope, names: Collection[str | None], place: Path) -> None:
    """Tell of a stage in which only objects run that may call models, and train none."""
    pipelines = [scope.spec.initialize.pipelines.get(name or "") for name in names]
    if not pipelines or scope.is_broken(place):
        return
    for name, pipeline in zip(names, pipelines, strict=True):
        if (
            name is None
            or pipeline is None
            or scope.may_train_something(pipeline, (*PIPELINES, name))
        ):
            return
    message = "no node of this stage has an optimizer, so it trains nothing"
    scope.note(message, place)


def _shown_once(scope: Scope, validation: Named) -> None:
    """Validation pipelines of a stage share no display name."""
    owner: dict[str, str] = {}
    for name in filter(None, dict.fromkeys(validation.values())):
        pipeline = scope.spec.initialize.pipelines.get(name)
        for kind, index, score in scores(pipeline) if pipeline else ():
            path: Path = (*PIPELINES, name, kind.group, index)
            shown = shown_as(scope, kind, score, path)
            if shown is not None and owner.setdefault(shown, name) != name:
                message = f'"{shown}" is shown by "{owner[shown]}" and by "{name}"'
                here = (*path, written_key(scope, kind, path))
                scope.note(f"{message} in one stage; give one another display name", here)


def _debug(scope: Scope, stage: StageSpec, path: Path) -> None:
    lost = math.inf if scope.is_broken(DEBUG_PIPELINES) else 0
    uses = [
        Use(item, (*path, position))
        for position, item in enumerate(stage.debug_pipelines)
        if isinstance(item, str)
    ]
    scope.naming.settle(
        Known(scope.spec.initialize.debug_pipelines, lost),
        uses,
        lambda name, hint: f'no debug pipeline is named "{name}"{hint}',
    )


class _Listeners:
    """What listens to the rows of a stage: its stop condition, and learning rate schedulers."""

    def __init__(
        self, scope: Scope, stage: StageSpec, path: Path, training: Named, validation: Named
    ) -> None:
        self.scope = scope
        self.stage = stage
        self.path = path
        self.training = [name for name in training.values() if name]
        self.validation = [name for name in validation.values() if name]
        self.is_known = None not in [*training.values(), *validation.values()]

    def check(self) -> None:
        """Every display name that is listened to is in every row."""
        pipelines = self.scope.spec.initialize.pipelines
        named = {*self.training, *self.validation}
        if all(name in pipelines for name in named):
            row = self.row()
            self.listens(list(self.monitors()), row, "no row of this stage has")
            trained = self.training if self.is_known else list(pipelines)
            each_epoch = [use for name in trained for use in self.scheduled(name, "epoch")]
            self.listens(each_epoch, row, f"no row of stage {int(self.path[-1]) + 1} has")
        for pipeline in filter(pipelines.__contains__, dict.fromkeys(self.training)):
            losses = Known(*self.shown(pipeline, losses_only=True))
            self.listens(
                self.scheduled(pipeline, "step"),
                losses,
                f'after each step only the losses of the pipeline "{pipeline}" can be listened '
                "to, which do not have",
            )

    def beside(self, other: Known) -> Known:
        """The columns of its rows, beside those of other stages."""
        pipelines = self.scope.spec.initialize.pipelines
        if not all(name in pipelines for name in (*self.training, *self.validation)):
            return Known(other.names, math.inf)
        row = self.row()
        return Known(dict.fromkeys([*other.names, *row.names]), other.lost + row.lost)

    def listens(self, uses: list[Use], known: Known, sentence: str) -> None:
        """Tell of display names that are not there."""
        self.scope.naming.settle(known, uses, lambda name, hint: f'{sentence} "{name}"{hint}')

    def row(self) -> Known:
        """The columns of a row, and how many more there may be."""
        trained = {name: self.shown(name, losses_only=True) for name in self.training}
        validated = {name: self.shown(name) for name in self.validation}
        columns = row_columns(
            list(self.scope.spec.initialize.pipelines),
            {name: shown for name, (shown, _) in trained.items()},
            {name: shown for name, (shown, _) in validated.items()},
        )
        lost = sum(lost for _, lost in {**trained, **validated}.values())
        always = [name for name in RESERVED if name not in ("stage", "skipped")]
        names = dict.fromkeys([*columns.values(), *always])
        return Known(names, lost) if self.is_known else self.of_any_pipeline(Known(names, lost))

    def of_any_pipeline(self, row: Known) -> Known:
        """The columns of a row, and all that it may have besides, whatever the stage runs."""
        lost, names = row.lost, dict.fromkeys(row.names)
        for pipeline in self.scope.spec.initialize.pipelines:
            shown, unread = self.shown(pipeline)
            names |= dict.fromkeys(shown) | {f"{pipeline} {name}": None for name in shown}
            lost += unread
        is_lost = self.scope.is_broken(PIPELINES)
        return Known(names, math.inf if is_lost else lost)

    def shown(self, pipeline: str, losses_only: bool = False) -> tuple[list[str], float]:
        """The display names of a pipeline, and how many cannot be read."""
        scope, path = self.scope, (*PIPELINES, pipeline)
        names = [
            shown_as(scope, kind, score, (*path, kind.group, index))
            for kind, index, score in scores(scope.spec.initialize.pipelines[pipeline])
            if kind is LOSS or not losses_only
        ]
        is_lost = any(scope.is_broken(path, key) for key in ("losses", "metrics"))
        known = [name for name in names if name is not None]
        return known, math.inf if is_lost else names.count(None)

    def monitors(self) -> Iterator[Use]:
        """The display names that stop conditions of ours listen to."""
        path: Path = (*self.path, "stop_condition")
        for described in objects_in(self.stage.stop_condition, path, "stop_condition"):
            if our_class(described.name, "stop_condition") not in _LISTENERS:
                continue
            args, kwargs = described.spec.args, described.spec.kwargs
            if isinstance(kwargs.get("monitor"), str):
                yield Use(kwargs["monitor"], (*described.path, "kwargs", "monitor"))
            elif args and isinstance(args[0], str):
                yield Use(args[0], (*described.path, "args", 0))

    def scheduled(self, pipeline: str, interval: str) -> list[Use]:
        """What the schedulers of a pipeline's optimizers listen to."""
        spec = self.scope.spec.initialize.pipelines[pipeline]
        found = self.scope.listeners(spec, (*PIPELINES, pipeline))
        return [use for when, use in found if when == interval]
