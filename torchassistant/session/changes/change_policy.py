"""What may be changed in the config of a session that exists already: the declared rules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torchassistant.config import (
    GROUPS,
    IN_LOGGERS_ALONE,
    LOGGERS_ARE_FREE,
    OF_LOGGER,
    ROLES,
    Path,
    Rule,
    Spec,
)

_BEGUN = "this was decided when the session was created"
_DEFINITIONS = "initialize.definitions"

RULES = (
    Rule("checkpoints.best.monitor", "applied", "a stage may start from the best state"),
    Rule("checkpoints.best.mode", "applied", "a stage may start from the best state"),
    Rule("checkpoints.best.*.monitor", "applied", "a stage may start from the best state"),
    Rule("checkpoints.best.*.mode", "applied", "a stage may start from the best state"),
    Rule("checkpoints.best.weights_only", "applied", "the files follow as training goes on"),
    Rule("checkpoints.best.*.weights_only", "applied", "the files follow as training goes on"),
    Rule("checkpoints.**", "free", "when the state is saved, and how much is kept"),
    Rule("log.**", "applied", "from the next iteration on"),
    Rule("distributed.timeout", "free", "when a process counts as lost"),
    Rule("distributed.**", "applied", "from the next iteration on"),
    Rule("initialize.debug_pipelines.**", "free", "they do not affect the training"),
    *(
        rule
        for where in ("train.callbacks.**", "train.stages.*.callbacks.**")
        for rule in (
            Rule(where, "free", LOGGERS_ARE_FREE, IN_LOGGERS_ALONE),
            Rule(where, "applied", "called from the next event on"),
        )
    ),
    Rule("train.stages.*.run_before_epoch.**", "applied", "run before the next epoch"),
    Rule("train.stages.*.debug_pipelines.**", "free", "they do not affect the training"),
    Rule("inference.**", "free", "it does not affect the training"),
    Rule("variables.**", "free", "their values are in the config already"),
    Rule("$schema", "free", "for editors"),
    Rule("device", "applied", "other devices round differently"),
    Rule("precision", "applied", "other precisions round differently"),
    Rule("deterministic", "applied", "other kernels round differently"),
    Rule("initialize.pipelines.*.compile.**", "applied", "compiled code rounds differently"),
    Rule("initialize.pipelines.*.losses.*.weight.**", "refused", _BEGUN),
    *(
        Rule(f"initialize.pipelines.*.{key}.**", "refused", "it decides what is learned")
        for key in ("combine", "train_step")
    ),
    Rule("initialize.pipelines.*.eval_step.**", "refused", "it decides what is measured"),
    Rule("initialize.pipelines.*.normalize_weights", "refused", "it decides what is minimised"),
    Rule("initialize.pipelines.*.models.**", "refused", "they decide which models run"),
    Rule("initialize.pipelines.*.input_factories.**", "refused", "they decide what is met"),
    Rule("on_nonfinite", "applied", "from the next iteration on"),
    Rule("train.stages.*.name", "free", "what the stage is called"),
    Rule("train.stages.*.on_nonfinite", "applied", "from the next iteration on"),
    Rule("train.stages.*.start_from.**", "fixed", "that happened when the stage began"),
    Rule("train.stages.*.reset.**", "fixed", "that happened when the stage began"),
    Rule("train.stages.*.evaluators.*.every_epochs", "applied", "from the next epoch on"),
    Rule("train.stages.*.evaluators.*.on", "applied", "from the next epoch on"),
    Rule("train.stages.*.evaluators.**", "refused", "they decide what is measured"),
    Rule("train.stages.*.frozen.**", "applied", "from the next iteration on"),
    Rule("train.stages.*.stop_condition.**", "applied", "called at the end of the next epoch"),
    Rule("train.stages.*.eval_steps.**", "applied", "from the next validation on"),
    Rule("train.stages.*.validate.**", "applied", "from the next iteration on"),
    Rule("train.stages.*.measure_training.**", "fixed", "it decides which columns a stage has"),
    *(
        Rule(f"train.stages.*.training_pipelines.*.{key}", "applied", "from the next iteration on")
        for key in ("repeat", "every", "from", "count_in")
    ),
    Rule("train.stages.*.training_pipelines.**", "refused", "they decide what is learned"),
    Rule("train.stages.*.epoch_length", "refused", "it decides where epochs end"),
    Rule("train.stages.+", "applied", "a stage that has not begun, or a new one at the end"),
    Rule("initialize.definitions.+", "free", LOGGERS_ARE_FREE, OF_LOGGER),
    Rule("initialize.definitions.+", "applied", "a new definition, for new stages"),
    Rule("initialize.pipelines.+", "applied", "a new pipeline, for new stages"),
    *(
        rule._replace(where=f"{_DEFINITIONS}.{group.name}.{rule.where}")
        for group in GROUPS.values()
        for rule in group.changes
    ),
    Rule("**", "refused", _BEGUN),
)
"""By paths of the config, in which the third step of a definition is its group: the first that fits
counts."""

CODE_RULES = (
    *(Rule(role.name, *role.code) for role in ROLES.values() if role.code is not None),
    Rule("**", "refused", _BEGUN),
)
"""The same for the code of the user, by the name of the role that it plays."""


def rule_of(path: Path, before: Spec, after: Spec, is_new: bool, begun: int) -> Rule:
    """The first rule that fits a change.

    Args:
        path: What has changed.
        before: The config without the change.
        after: The config with it.
        is_new: Whether there was nothing at this path.
        begun: How many stages have begun.
    """
    steps = [str(step) for step in path]
    changed: list[Any] = []
    stage = steps[2] if steps[:2] == ["train", "stages"] and len(steps) > 2 else None
    if stage is not None and int(stage) >= begun:
        steps = ["train", "stages", "+"]
    elif steps[:2] in (["initialize", "definitions"], ["initialize", "pipelines"]):
        if steps[1] == "definitions" and len(steps) > 2:
            both = [spec.initialize.definitions[int(steps[2]) :] for spec in (before, after)]
            changed = [found[0].spec for found in both if found]
            steps[2] = (both[1] or both[0])[0].group
        if is_new and len(steps) == 3:
            steps[2] = "+"
    elif steps[:2] == ["train", "callbacks"]:
        changed = [_blocks(spec, spec.train.callbacks) for spec in (before, after)]
    elif stage is not None and steps[3:4] == ["callbacks"]:
        changed = [
            _blocks(spec, spec.train.stages[int(stage)].callbacks) for spec in (before, after)
        ]
    return next(rule for rule in RULES if rule.fits(steps, changed))


def _blocks(spec: Spec, callbacks: Iterable[str]) -> dict[str, Any]:
    """What a config says of callbacks, by name, in their order."""
    known = {one.name: one.spec for one in spec.initialize.definitions if one.group == "callbacks"}
    return {name: known.get(name) for name in callbacks}


def rule_of_code(role: str) -> Rule:
    """The first rule that fits changed code that is there for something."""
    return next(rule for rule in CODE_RULES if rule.where in (role, "**"))
