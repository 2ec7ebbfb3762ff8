"""Stages: which pipelines they run, what those train, and what listens to their rows."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import Any

from torchassistant.config.blocks import ObjectSpec
from torchassistant.config.checks.callbacks import check_callbacks, has_callbacks
from torchassistant.config.checks.declared_columns import (
    Declared,
    declared_keys_of,
    note_wrong_keys,
)
from torchassistant.config.checks.evaluators import check_evaluators, columns_of_evaluators
from torchassistant.config.checks.keyed_columns import may_be_key
from torchassistant.config.checks.measured_in_training import check_measured, measured_in
from torchassistant.config.checks.pipelines import RESERVED, scores, shown_as, shown_by
from torchassistant.config.checks.resolver import Names, Use
from torchassistant.config.checks.scope import Scope, may_train
from torchassistant.config.checks.stage_beginnings import best_views, check_beginning
from torchassistant.config.checks.training_entries import check_epoch_length, training_entries
from torchassistant.config.checks.unknown import Unknown
from torchassistant.config.checks.view import View
from torchassistant.config.file_names import as_file_name, folded
from torchassistant.config.history_columns import row_columns
from torchassistant.config.missing_parts import TRAINING, VALIDATION, has_missing_parts
from torchassistant.config.named_objects import objects_in
from torchassistant.config.search_paths import our_class
from torchassistant.config.spec import ValidateSpec
from torchassistant.config.tree import Path

_LISTENERS = ("EarlyStopping", "TargetReached")
"""Stop conditions of ours whose first argument is a display name."""


def check_stages(scope: Scope) -> list[Any]:
    """Check the stages.

    Returns:
        The lists of their training pipelines.
    """
    _pipeline_names(scope)
    check_callbacks(scope)
    _stage_names(scope)
    stages = scope.config.train.stages
    trained: list[Any] = [stages] if isinstance(stages, Unknown) else []
    rows = Names([], stages.unreadable)
    by_stage: dict[int, Names] = {}
    declared: dict[str, list[tuple[str, ...] | None]] = {}
    for stage in stages:
        trained.append(training_entries(stage))
        _trains_something(scope, stage)
        _trains_what_it_runs(scope, stage)
        _shown_once(scope, stage)
        _debug(scope, stage)
        _eval_steps(scope, stage)
        check_epoch_length(scope, stage)
        check_measured(scope, stage)
        listeners = _Listeners(scope, stage)
        if not listeners.check():
            _validates_something(scope, stage)
        rows = listeners.beside(rows)
        for name, keys in listeners.declared().items():
            declared.setdefault(name, []).extend(keys)
        check_beginning(scope, stage, by_stage)
        by_stage[int(stage.path[-1])] = listeners.beside(Names([]))
    _best(scope, rows, declared)
    return trained


def _best(scope: Scope, rows: Names, declared: Declared) -> None:
    """What the best checkpoints are chosen by is a column of some stage, and stands there once."""
    bests = best_views(scope)
    seen: set[Any] = set()
    for best in bests:
        if isinstance(best.monitor, str) and best.monitor in seen:
            scope.note(f'"{best.monitor}" is listed twice', best.at("monitor"))
        seen.add(best.block.monitor)
    _expect_own_folders(scope, bests)
    if any(has_callbacks(scope, stage) for stage in scope.config.train.stages):
        return
    if has_missing_parts(scope.spec):
        return  # the columns are known, and this is checked, once they are filled in
    uses = [best.use("monitor") for best in bests]
    scope.resolver.resolve(
        rows,
        [use for use in uses if not may_be_key(use.name, rows)],
        lambda name, hint: f'no row of any stage has "{name}"{hint}',
    )
    if rows.complete:
        note_wrong_keys(scope, uses, declared)


def _expect_own_folders(scope: Scope, bests: list[View]) -> None:
    """The weights of each stand in a folder of their own, on every system."""
    folders: dict[str, str] = {}
    for best in bests:
        if not (isinstance(best.monitor, str) and best.weights_only is True):
            continue
        folder = folded(as_file_name(best.monitor))
        other = folders.setdefault(folder, best.monitor)
        if other != best.monitor:
            message = f'on some systems these would stand in one folder with those of "{other}"'
            scope.note(message, best.at("weights_only"))


def _pipeline_names(scope: Scope) -> None:
    """Report pipelines that there are not, and those that a stage names twice."""
    # Where there are none they are filled in, under these names.
    there = scope.spec.initialize.pipelines or [TRAINING, VALIDATION]
    uses: list[Use] = []
    for stage in scope.config.train.stages:
        for names in (training_entries(stage), stage.validation_pipelines):
            uses += names
            for use in names.repeated():
                scope.note(f'"{use.name}" is listed twice', use.path)
    scope.resolver.resolve(
        _names(there, scope.config.initialize.pipelines),
        uses,
        lambda name, hint: f'no pipeline is named "{name}"{hint}',
    )


def _stage_names(scope: Scope) -> None:
    """No two stages have the same name."""
    first: dict[str, int] = {}
    for stage in scope.config.train.stages:
        name, number = stage.name, int(stage.path[-1]) + 1
        if isinstance(name, str) and first.setdefault(name, number) != number:
            message = f'stage {first[name]} is named "{name}" already'
            scope.note(message, stage.at("name"))


def _names(names: Collection[str], table: Any) -> Names:
    """The keys of a table, which may be unknown."""
    return Names(names, table.unreadable if isinstance(table, Unknown) else 0)


def _eval_steps(scope: Scope, stage: View) -> None:
    table, validation = stage.eval_steps, stage.validation_pipelines
    if isinstance(table, dict):
        names = dict.fromkeys([*stage.block.validation_pipelines, *validation.names])
        scope.resolver.resolve(
            Names(names, validation.unreadable),
            [Use(name, stage.at("eval_steps", name), True) for name in table],
            lambda name, hint: f'"{name}" is not a validation pipeline of this stage{hint}',
        )


def _trains_something(scope: Scope, stage: View) -> None:
    """Each training pipeline has a loss and trains something; so does the stage as a whole.

    A pipeline that may train something runs only objects that may call models, and train none.
    """
    names = training_entries(stage)
    places = {use.name: use.path for use in reversed([*names])}
    reported = [_reports_that_it_trains_nothing(scope, name, at) for name, at in places.items()]
    pipelines = [scope.pipeline(name) for name in names.all()]
    if not any(reported) and not any(map(scope.may_train_something, pipelines)):
        message = "no node of this stage has an optimizer, so it trains nothing"
        scope.note(message, stage.at("training_pipelines"))


def _trains_what_it_runs(scope: Scope, stage: View) -> None:
    """A training pipeline runs the models that it trains, and no others in their place."""
    for name in training_entries(stage).names:
        pipeline = scope.pipeline(name)
        table = pipeline.models
        trained = {node.model_name for node in scope.nodes(pipeline) if may_train(node)}
        for other in table if isinstance(table, dict) else ():
            if other in trained:
                message = (
                    f'an optimizer trains "{other}" in this pipeline, and "{table[other]}" would '
                    "run in its place; validation pipelines can have it so"
                )
                scope.note(message, pipeline.at("models", other))


def _reports_that_it_trains_nothing(scope: Scope, name: str, place: Path) -> bool:
    pipeline = scope.pipeline(name)
    if pipeline.complete and not pipeline.losses and pipeline.train_step is None:
        scope.note(f'the pipeline "{name}" has no loss, so it cannot be trained', place)
    nodes = scope.nodes(pipeline)
    if nodes and not any(map(may_train, nodes)) and not scope.loss_optimizers(name):
        message = f'no node of the pipeline "{name}" has an optimizer, so it trains nothing'
        scope.note(message, place)
        return True
    if not nodes and _calls_models(scope, pipeline) and not scope.loss_optimizers(name):
        message = (
            f'no node of the pipeline "{name}" has an optimizer, and no loss of it an '
            '"optimizer_name" for its models, so it trains nothing'
        )
        scope.note(message, place)
        return True
    return False


def _calls_models(scope: Scope, pipeline: View) -> bool:
    """Whether a loss of a pipeline is called with models."""
    specs = [scope.groups["losses"][item.loss_name].spec for item in pipeline.losses]
    return any(not isinstance(spec, Unknown) and bool(spec.block.models) for spec in specs)


def _shown_once(scope: Scope, stage: View) -> None:
    """Validation pipelines of a stage share no display name."""
    owner: dict[Any, str] = {}
    for name in dict.fromkeys(stage.validation_pipelines.names):
        pipeline = scope.pipeline(name)
        metrics = [score for score in scores(pipeline) if score.group == "metrics"]
        for shown, place in (
            *shown_by(scope, pipeline, "eval_step"),
            *((shown_as(scope, score), score.place) for score in metrics),
        ):
            first = owner.setdefault(shown, name)
            if first != name:
                message = f'"{shown}" is shown by "{first}" and by "{name}" in one stage'
                scope.note(f"{message}; give one another display name", place)
    check_evaluators(scope, stage, owner)


def _debug(scope: Scope, stage: View) -> None:
    debug = scope.config.initialize.debug_pipelines
    scope.resolver.resolve(
        _names(scope.spec.initialize.debug_pipelines, debug),
        [item for item in stage.debug_pipelines if isinstance(item, Use)],
        lambda name, hint: f'no debug pipeline is named "{name}"{hint}',
    )


def _validates_something(scope: Scope, stage: View) -> None:
    """What says when validation is done has something to do, and does not do away with it."""
    plan, names = stage.validate_, stage.validation_pipelines
    if not _is_readable(plan) or isinstance(names, Unknown):
        return
    # A stored config says what was left out too.
    if not names and plan.block != ValidateSpec():
        scope.note("this stage has no validation pipelines", stage.at("validate"))
    elif names and not plan.block.is_ever:
        message = "with this the validation pipelines of the stage are never run"
        scope.note(message, stage.at("validate"))


def _is_readable(plan: Any) -> bool:
    return isinstance(plan, View) and plan.is_whole() and plan.complete


def _ends_before(stage: View) -> bool:
    """Whether a stage has fewer epochs than lie between two of its validations."""
    plan, condition = stage.block.validate_, stage.block.stop_condition
    if plan.every_iterations is not None or not isinstance(condition, ObjectSpec):
        return False
    if our_class(condition.class_ or "", "stop_condition") != "EpochsCompleted":
        return False
    given = [*condition.args, condition.kwargs.get("num_epochs")]
    return isinstance(given[0], int) and given[0] < (plan.every_epochs or 0)


class _Listeners:
    """What listens to the rows of a stage: its stop condition, and learning rate schedulers.

    What is measured only before the first iteration is listened to in vain.
    """

    def __init__(self, scope: Scope, stage: View) -> None:
        self.scope = scope
        self.stage = stage
        self.pipelines = scope.spec.initialize.pipelines
        self.training = list(training_entries(stage).names)
        self.validation = list(stage.validation_pipelines.names)
        plan = stage.validate_
        self.is_ever_validated = not _is_readable(plan) or plan.block.is_ever
        self.is_validated_at_ends = not _is_readable(plan) or (
            plan.block.is_at_ends and not _ends_before(stage)
        )
        self.has_callbacks = has_callbacks(scope, stage)
        self.is_known = training_entries(stage).complete and stage.validation_pipelines.complete

    def check(self) -> bool:
        """Every display name that is listened to is in every row.

        Returns:
            Whether something listens to what is not, as the stage does not validate then.
        """
        is_deaf = False
        if self.pipelines.keys() >= {*self.training, *self.validation}:
            row = self.row()
            monitors = list(self.monitors())
            is_deaf = self.never_hear(monitors, self.is_validated_at_ends)
            self.listens(monitors, row, "no row of this stage has")
            trained = self.training if self.is_known else list(self.pipelines)
            each_epoch = [use for name in trained for use in self.scheduled(name, "epoch")]
            is_deaf = self.never_hear(each_epoch, self.is_validated_at_ends) or is_deaf
            title = self.scope.spec.stage_title(int(self.stage.path[-1]))
            self.listens(each_epoch, row, f"no row of {title} has")
        for pipeline in filter(self.pipelines.__contains__, dict.fromkeys(self.training)):
            self.listens_to(
                self.scheduled(pipeline, "step"),
                self.shown(pipeline, losses_only=True),
                f'after each step only the losses of the pipeline "{pipeline}" can be listened '
                "to, which do not have",
            )
        return is_deaf

    def never_hear(self, uses: list[Use], is_validated: bool) -> bool:
        """Report what listens to results of validation where there are none, and say if any does.

        Args:
            uses: The display names that are listened to.
            is_validated: Whether there may be results when they are.
        """
        if is_validated or not self.is_known:
            return False
        missing = set(self.row().names) - set(self.row(is_validated=False).names)
        found = [use for use in uses if use.name in missing]
        for use in found:
            message = (
                f'"{use.name}" is measured in validation only, which with the "validate" of this '
                "stage is not run once it has begun"
            )
            self.scope.note(message, use.path)
        return bool(found)

    def beside(self, other: Names) -> Names:
        """The columns of its rows, beside those of other stages."""
        if not self.pipelines.keys() >= {*self.training, *self.validation}:
            return other._replace(unreadable=math.inf)
        return other | self.row(self.is_ever_validated)

    def listens(self, uses: list[Use], known: Names, sentence: str) -> None:
        """Report display names that are not in rows; columns of callbacks are not known yet."""
        if not self.has_callbacks:
            self.listens_to(uses, known, sentence)
            if uses and known.complete:
                note_wrong_keys(self.scope, uses, self.declared())

    def listens_to(self, uses: list[Use], known: Names, sentence: str) -> None:
        """Report display names that are not there."""
        uses = [use for use in uses if not may_be_key(use.name, known)]
        self.scope.resolver.resolve(known, uses, lambda name, hint: f'{sentence} "{name}"{hint}')

    def declared(self) -> dict[str, list[tuple[str, ...] | None]]:
        """The keys of each column that may have some, as far as their source tells them."""
        if not self.pipelines.keys() >= {*self.training, *self.validation}:
            return {}
        columns = row_columns(
            list(self.pipelines),
            {name: list(self.trained(name).names) for name in self.training},
            {name: list(self.shown(name).names) for name in self.validation},
        )
        metrics = {
            (name, shown_as(self.scope, score)): score.name
            for name in {*self.training, *self.validation}
            for score in scores(self.scope.pipeline(name))
            if score.group == "metrics"
        }
        found: dict[str, list[tuple[str, ...] | None]] = {}
        for place, column in columns.items():
            keys = declared_keys_of(self.scope, "metrics", metrics.get(place))
            found.setdefault(column, []).append(keys)
        for entry in self.stage.evaluators:
            name = entry.evaluator
            if isinstance(name, str):
                keys = declared_keys_of(self.scope, "evaluators", name)
                found.setdefault(name, []).append(keys)
        return found

    def row(self, is_validated: bool = True) -> Names:
        """The columns of a row, and how many more there may be.

        Args:
            is_validated: Whether the results of validation are among them.
        """
        trained = {name: self.trained(name) for name in self.training}
        validated = {name: self.shown(name) for name in self.validation}
        columns = row_columns(
            list(self.pipelines),
            {name: list(shown.names) for name, shown in trained.items()},
            {name: list(shown.names) for name, shown in validated.items()},
        )
        unreadable = sum(shown.unreadable for shown in {**trained, **validated}.values())
        always = [name for name in RESERVED if name not in ("stage", "skipped")]
        names = [
            column
            for (pipeline, _), column in columns.items()
            if is_validated or pipeline not in self.validation
        ]
        names += columns_of_evaluators(self.stage)
        evaluators = self.stage.evaluators
        unreadable += math.inf if isinstance(evaluators, Unknown) else evaluators.unreadable
        unreadable += math.inf if self.has_callbacks else 0
        row = Names(dict.fromkeys([*names, *always]), unreadable)
        return row if self.is_known else self.of_any_pipeline(row)

    def of_any_pipeline(self, row: Names) -> Names:
        """The columns of a row, and all that it may have besides, whatever the stage runs."""
        for pipeline in self.pipelines:
            shown = self.shown(pipeline)
            row |= shown
            row |= Names([f"{pipeline} {name}" for name in shown.names])
        return row | _names([], self.scope.config.initialize.pipelines)

    def shown(self, pipeline: str, losses_only: bool = False) -> Names:
        """The display names of a pipeline, and how many cannot be read."""
        view = self.scope.pipeline(pipeline)
        key = "train_step" if losses_only else "eval_step"
        names = [shown.name for shown in shown_by(self.scope, view, key)]
        if not losses_only:
            found = (score for score in scores(view) if score.group == "metrics")
            names += [shown_as(self.scope, score) for score in found]
        known = [name for name in names if not isinstance(name, Unknown)]
        unreadable = view.losses.unreadable + (0 if losses_only else view.metrics.unreadable)
        return Names(known, unreadable + len(names) - len(known))

    def trained(self, pipeline: str) -> Names:
        """What a row shows of the training of a pipeline."""
        losses = self.shown(pipeline, losses_only=True)
        if pipeline in self.validation:
            return losses
        measured = measured_in(self.scope, self.stage, pipeline)
        unreadable = losses.unreadable + measured.unreadable
        return Names([*losses.names, *measured.names], unreadable)

    def monitors(self) -> Iterator[Use]:
        """The display names that stop conditions of ours listen to."""
        path = self.stage.at("stop_condition")
        for described in objects_in(self.stage.block.stop_condition, path, "stop_condition"):
            if our_class(described.name, "stop_condition") not in _LISTENERS:
                continue
            args, kwargs = described.spec.args, described.spec.kwargs
            if isinstance(kwargs.get("monitor"), str):
                yield Use(kwargs["monitor"], (*described.path, "kwargs", "monitor"))
            elif args and isinstance(args[0], str):
                yield Use(args[0], (*described.path, "args", 0))

    def scheduled(self, pipeline: str, interval: str) -> list[Use]:
        """What the schedulers of a pipeline's optimizers listen to."""
        found = self.scope.listeners(self.scope.pipeline(pipeline))
        return [use for when, use in found if when == interval]
