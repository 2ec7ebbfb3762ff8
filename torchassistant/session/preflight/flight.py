"""One batch of every pipeline, before half an hour is spent on a run that cannot end well."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from torchassistant.callbacks import Samples
from torchassistant.config import Key
from torchassistant.data import derived, object_rngs_seeded, seeded
from torchassistant.errors import ConfigError
from torchassistant.session.preflight.column_shapes import ColumnShapes
from torchassistant.session.preflight.evaluation_trial import EvaluationTrial
from torchassistant.session.preflight.evaluators import learn_keys_of_evaluators
from torchassistant.session.preflight.findings import Findings, path_of_pipeline
from torchassistant.session.preflight.first_batches import FirstBatches
from torchassistant.session.preflight.hidden_draws import warn_of_hidden_draws
from torchassistant.session.preflight.idle_parts import warn_of_idle_parts
from torchassistant.session.preflight.monitors import check_monitors
from torchassistant.session.preflight.node_watch import NodeWatch
from torchassistant.session.preflight.report import Preflight, StageReport
from torchassistant.session.preflight.report_parts import (
    models_of_others,
    parameter_groups,
    report_of_stage,
)
from torchassistant.session.preflight.training_trial import TrainingTrial
from torchassistant.session.preflight.untrained import warn_of_frozen, warn_of_untrained
from torchassistant.session.preflight.validation_plans import (
    check_what_listens,
    warn_of_no_validation,
)
from torchassistant.session.session import Session
from torchassistant.session.stages.small_parts import small_parts
from torchassistant.session.state.stateful_parts import run_by
from torchassistant.training import (
    Changed,
    Pipeline,
    PipelineBeforeEpoch,
    Stage,
    freezing,
    unchanged,
)


def preflight(session: Session) -> Preflight:
    """Run one batch of every pipeline as each stage would: forward, losses, metrics, backward.

    Each optimizer makes a step. Afterwards everything is as it was: weights, buffers, gradients,
    random numbers, and what the objects of the user keep, as far as that can be put back.

    Raises:
        ConfigError: With a problem for each pipeline that cannot run, where it stands.
        UserCodeError: The user's code raised; it brings the problems.
    """
    found = Findings(session)
    seed = derived(session.seed, "preflight")
    rng_holders = {
        f"{name} {key}": part
        for name, pipeline in session.pipelines.items()
        for key, part in pipeline.rng_holders.items()
    }
    with unchanged(run_by(session)) as changed, seeded(seed), object_rngs_seeded(rng_holders, seed):
        report = _fly(session, found)
    _warn_of_changes(changed, found)
    if found.raised:
        found.raised[0].problems = found.problems
        raise found.raised[0]
    if found.problems:
        error = ConfigError(*dict.fromkeys(found.problems))
        error.warnings = [*dict.fromkeys(found.missing_outputs)]
        raise error
    return report


def _fly(session: Session, found: Findings) -> Preflight:
    shapes = ColumnShapes()
    batches = FirstBatches(found, shapes, _filled_later(session))
    watch = NodeWatch(found, shapes)
    training = TrainingTrial(found, batches, watch)
    evaluation = EvaluationTrial(found, batches, watch)
    run: set[str] = set()
    stages: list[StageReport] = []
    for index, stage in enumerate(session.stages):
        with freezing(stage):
            stage.set_training()
            for pipeline in stage.training:
                training.run(pipeline, stage)
            _warn_of_small_parts(stage, found)
        for pipeline in stage.validation:
            if pipeline.name not in run:
                evaluation.run(pipeline)
        for debug in stage.debug:
            evaluation.debug(debug)
        learn_keys_of_evaluators(stage, index, found)
        run.update(p.name for p in (*stage.training, *stage.validation))
        stages.append(report_of_stage(stage, index, found))
        warn_of_frozen(stage, index, found)
        warn_of_idle_parts(stage, index, found)
        warn_of_no_validation(stage, index, found)
        check_what_listens(stage, index, found)
    for pipeline in session.pipelines.values():
        if pipeline.name not in run:
            evaluation.run(_kept_from_writing(pipeline, session))
    for name, callback in session.callbacks.items():
        # What is wrong with its pipeline is told already.
        if isinstance(callback, Samples) and not (found.problems or found.raised):
            evaluation.samples(callback, found.path_of(Key("callbacks", name)))
    warn_of_untrained(found)
    warn_of_hidden_draws(found)
    check_monitors(found)
    groups = parameter_groups(session)
    return Preflight(
        watch.reports,
        batches.lengths,
        {name: sum(group.parameters for group in own) for name, own in groups.items()},
        groups,
        list(models_of_others(session)),
        stages,
        found.warnings,
        list(session.weights.values()),
        shapes.found,
    )


def _filled_later(session: Session) -> set[str]:
    """Pipelines whose data what runs before each epoch may make."""
    stages = (stage for stage in session.stages if stage.before_epoch)
    return {p.name for stage in stages for p in (*stage.training, *stage.validation)}


def _kept_from_writing(pipeline: Pipeline, session: Session) -> Pipeline:
    """A pipeline that runs before epochs, without what alone keeps its results.

    Where it has neither losses nor metrics, these are the output adapters that its graph ends with.
    """
    before = [one for stage in session.stages for one in stage.before_epoch]
    named = [one.pipeline.name for one in before if isinstance(one, PipelineBeforeEpoch)]
    if pipeline.name not in named or pipeline.losses or pipeline.metrics:
        return pipeline
    return replace(pipeline, graph=pipeline.graph.without_last_adapters())


def _warn_of_small_parts(stage: Stage, found: Findings) -> None:
    """Warn of parts of one row, where the config says how many there are."""
    distributed = found.session.spec.distributed
    if distributed is not None and distributed.logical_ranks is not None:
        for pipeline, message in small_parts(stage, distributed.logical_ranks):
            found.warn(message, path_of_pipeline(pipeline))


def _warn_of_changes(changed: Sequence[Changed], found: Findings) -> None:
    """Warn of what the preflight has changed."""
    for path, what in changed:
        group, name = [*re.split(r"[/.]", path, maxsplit=2), ""][:2]
        message = (
            f"{path} {what}, and the preflight cannot restore it: training in this process "
            'starts with it as it is now; "--no-preflight" avoids that'
        )
        found.warn(message, found.path_of(Key(group, name)))
