"""Stages: which pipelines they run, what those train, and what listens to their rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torchassistant.config.checks.pipelines import RESERVED, check_pipeline, scores
from torchassistant.config.checks.scope import Scope
from torchassistant.config.gaps import TRAINING, VALIDATION
from torchassistant.config.objects import objects_in
from torchassistant.config.rows import row_columns
from torchassistant.config.spec import PipelineSpec, StageSpec
from torchassistant.config.tree import Path
from torchassistant.errors import near

_STAGES: Path = ("train", "stages")
_LISTENERS = ("EarlyStopping", "TargetReached")
"""Stop conditions of ours whose first argument is a display name."""


def check_stages(scope: Scope) -> None:
    """Check the stages, and what they leave unused."""
    for index, stage in enumerate(scope.spec.train.stages):
        path: Path = (*_STAGES, index)
        for key, names in (
            ("training_pipelines", stage.training_pipelines),
            ("validation_pipelines", stage.validation_pipelines),
        ):
            _pipeline_names(scope, names, (*path, key))
        for position, name in enumerate(stage.training_pipelines):
            _trains_something(scope, name, (*path, "training_pipelines", position))
        _shown_once(scope, stage.validation_pipelines, (*path, "validation_pipelines"))
        _debug(scope, stage, path)
        if isinstance(stage.eval_steps, dict):
            _eval_steps(scope, stage.eval_steps, stage, (*path, "eval_steps"))
        _listeners(scope, stage, path)
    _unused(scope)


def _pipeline_names(scope: Scope, names: list[str], path: Path) -> None:
    # Where there are none they are filled in, under these names.
    known = list(scope.spec.initialize.pipelines) or [TRAINING, VALIDATION]
    for position, name in enumerate(names):
        if name not in known:
            if scope.findings.is_broken(("initialize", "pipelines")):
                continue
            scope.note(f'no pipeline is named "{name}"{near(name, known)}', (*path, position))
        elif names.index(name) < position:
            scope.note(f'"{name}" stands here twice', (*path, position))


def _eval_steps(scope: Scope, table: Iterable[str], stage: StageSpec, path: Path) -> None:
    for name in table:
        if name not in stage.validation_pipelines:
            known = near(name, stage.validation_pipelines)
            message = f'"{name}" is no validation pipeline of this stage{known}'
            scope.note(message, (*path, name), at_key=True)


def _trains_something(scope: Scope, name: str, path: Path) -> None:
    pipeline = scope.spec.initialize.pipelines.get(name)
    if pipeline is None:
        return
    at: Path = ("initialize", "pipelines", name)
    if not pipeline.losses and scope.findings.is_whole((*at, "losses")):
        scope.note(f'the pipeline "{name}" has no loss, so it cannot be trained', path)
    nodes = [node for _, node in scope.nodes(scope.graph(pipeline))]
    trains = any(node.optimizer_name for node in nodes)
    if nodes and not trains and scope.is_graph_whole(pipeline.graph):
        message = f'no node of the pipeline "{name}" has an optimizer, so it trains nothing'
        scope.note(message, path)


def _shown_once(scope: Scope, names: Iterable[str], path: Path) -> None:
    owner: dict[str, str] = {}
    for position, name in enumerate(names):
        pipeline = scope.spec.initialize.pipelines.get(name)
        for _, _, score in scores(pipeline) if pipeline else ():
            other = owner.setdefault(score.shown_as, name)
            if other != name:
                message = f'"{score.shown_as}" is shown by "{other}" and by "{name}"'
                scope.note(f"{message}; give one another display name", (*path, position))


def _debug(scope: Scope, stage: StageSpec, path: Path) -> None:
    known = scope.spec.initialize.debug_pipelines
    for position, item in enumerate(stage.debug_pipelines):
        here: Path = (*path, "debug_pipelines", position)
        if not isinstance(item, str):
            check_pipeline(scope, item, here)
        elif item not in known and scope.findings.is_whole(("initialize", "debug_pipelines")):
            scope.note(f'no debug pipeline is named "{item}"{near(item, known)}', here)


# What listens to the rows


def _listeners(scope: Scope, stage: StageSpec, path: Path) -> None:
    """A display name that a stop condition or a scheduler listens to is in every row."""
    pipelines = scope.spec.initialize.pipelines
    named = [*stage.training_pipelines, *stage.validation_pipelines]
    places: list[Path] = [("initialize", "pipelines", name) for name in named]
    if not all(name in pipelines for name in named) or not scope.findings.is_whole(path, *places):
        return
    row = _row(stage, pipelines)
    here: Path = (*path, "stop_condition")
    for monitor, at in _monitors(stage, here):
        if monitor not in row:
            message = f'no row of this stage has "{monitor}"{near(monitor, row)}'
            scope.note(message, at)
    for name in dict.fromkeys(_optimizers(scope, stage.training_pipelines)):
        scheduler = getattr(scope.spec.group("optimizers").get(name), "lr_scheduler", None)
        if scheduler is None or scheduler.monitor is None:
            continue
        at = (*scope.at("optimizers", name), "spec", "lr_scheduler", "monitor")
        if scheduler.interval == "epoch" and scheduler.monitor not in row:
            number = path[-1]
            message = f'no row of stage {number} has "{scheduler.monitor}"'
            scope.note(message + near(scheduler.monitor, row), at)
        if scheduler.interval == "step":
            for pipeline in stage.training_pipelines:
                if name in _optimizers(scope, [pipeline]):
                    _listens_each_step(scope, scheduler.monitor, pipeline, at)


def _listens_each_step(scope: Scope, monitor: str, pipeline: str, at: Path) -> None:
    losses = [loss.shown_as for loss in scope.spec.initialize.pipelines[pipeline].losses]
    if monitor not in losses:
        scope.note(
            f'after each step only the losses of the pipeline "{pipeline}" can be listened to; '
            f'"{monitor}" is none{near(monitor, losses)}',
            at,
        )


def _row(stage: StageSpec, pipelines: dict[str, PipelineSpec]) -> list[str]:
    columns = row_columns(
        list(pipelines),
        {name: [x.shown_as for x in pipelines[name].losses] for name in stage.training_pipelines},
        {
            name: [score.shown_as for _, _, score in scores(pipelines[name])]
            for name in stage.validation_pipelines
        },
    )
    return [*columns.values(), *(name for name in RESERVED if name != "stage")]


def _monitors(stage: StageSpec, path: Path) -> Iterator[tuple[str, Path]]:
    for described in objects_in(stage.stop_condition, path, "stop_condition"):
        home, _, short = described.name.rpartition(".")
        if short not in _LISTENERS or home not in ("", "torchassistant.stop_conditions"):
            continue
        args, kwargs = described.spec.args, described.spec.kwargs
        if isinstance(kwargs.get("monitor"), str):
            yield kwargs["monitor"], (*described.path, "kwargs", "monitor")
        elif args and isinstance(args[0], str):
            yield args[0], (*described.path, "args", 0)


# What is left unused


def _optimizers(scope: Scope, pipelines: Iterable[str]) -> Iterator[str]:
    """The optimizers of the nodes of some pipelines."""
    for name in pipelines:
        pipeline = scope.spec.initialize.pipelines.get(name)
        for _, node in scope.nodes(scope.graph(pipeline) if pipeline else None):
            if node.optimizer_name:
                yield node.optimizer_name


def _unused(scope: Scope) -> None:
    """Optimizers that train nothing are mistakes; models that nothing trains may be meant."""
    spec, findings = scope.spec, scope.findings
    names = [name for stage in spec.train.stages for name in stage.training_pipelines]
    pipelines = [spec.initialize.pipelines.get(name) for name in names]
    places: list[Path] = [("initialize", "pipelines", name) for name in names]
    known = all(p is not None and scope.is_graph_whole(p.graph) for p in pipelines)
    if not names or not known or not findings.is_whole(("train",), *places):
        return
    if any(p.is_object for p in spec.group("batch_processors").values()):
        return  # the user's own processor may train what it likes
    if not all(any(_optimizers(scope, [name])) for name in names):
        return  # told of the pipeline that trains nothing
    used = set(_optimizers(scope, names))
    misspelt = used - set(spec.group("optimizers"))
    trained = {
        node.model_name
        for pipeline in pipelines
        for _, node in scope.nodes(scope.graph(pipeline) if pipeline else None)
        if node.optimizer_name
    }
    for key, path in scope.written_at.items():
        if key.group == "optimizers" and key.name not in used and not misspelt:
            scope.note(f'no training pipeline uses the optimizer "{key.name}"', (*path, "name"))
        if key.group == "models" and key.name not in trained:
            findings.warn(f'no optimizer trains the model "{key.name}"', (*path, "name"))
