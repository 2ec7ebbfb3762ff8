"""What may be changed in the config of a session that exists already: the declared rules."""

from __future__ import annotations

from typing import Literal, NamedTuple

from torchassistant.config import Spec
from torchassistant.config.tree import Path

Effect = Literal["free", "applied", "refused", "fixed"]

_BEGUN = "this was decided when the session was created"


class Rule(NamedTuple):
    """What becomes of a change.

    Args:
        where: A path of the config; ``*`` stands for any one step, a last ``**`` for any more. The
            third step of a definition is its group.
        effect: ``free`` changes no result; ``applied`` takes effect from the step at hand on;
            ``refused`` would make one run of two, and needs ``--accept-changes``; ``fixed`` cannot
            be changed, as what is stored would win.
        why: A clause for the table of the documentation, and for the message.
    """

    where: str
    effect: Effect
    why: str


RULES = (
    Rule("checkpoints.**", "free", "when the state is saved, and how much is kept"),
    Rule("initialize.debug_pipelines.**", "free", "they leave no trace in the training"),
    Rule("train.stages.*.debug_pipelines.**", "free", "they leave no trace in the training"),
    Rule("variables.**", "free", "their values stand in the config already"),
    Rule("$schema", "free", "for editors"),
    Rule("device", "applied", "other devices round otherwise"),
    Rule("precision", "applied", "other precisions round otherwise"),
    Rule("initialize.definitions.models.spec.memory_format", "applied",
         "other kernels round otherwise"),
    *(
        Rule(f"initialize.{where}.compile.**", "applied", "compiled code rounds otherwise")
        for where in ("definitions.batch_processors.spec.neural_graph.*",
                      "definitions.batch_processors.spec", "pipelines.*")
    ),
    Rule("initialize.definitions.batch_processors.spec.neural_graph.*.activation_checkpointing",
         "free", "speed and memory only"),
    Rule("on_nonfinite", "applied", "from the next iteration on"),
    Rule("train.stages.*.on_nonfinite", "applied", "from the next iteration on"),
    Rule("train.stages.*.stop_condition.**", "applied", "asked at the end of the next epoch"),
    Rule("train.stages.*.eval_steps.**", "applied", "from the next validation on"),
    Rule("train.stages.+", "applied", "a stage that has not begun, or a new one at the end"),
    Rule("initialize.definitions.+", "applied", "a new definition, for new stages"),
    Rule("initialize.pipelines.+", "applied", "a new pipeline, for new stages"),
    *(
        Rule(f"initialize.definitions.optimizers.spec.kwargs.{key}.**", "applied", "from now on")
        for key in ("lr", "weight_decay", "betas", "eps", "alpha", "rho", "maximize")
    ),
    Rule("initialize.definitions.optimizers.spec.args.**", "fixed", "name the argument instead"),
    Rule("initialize.definitions.optimizers.spec.lr_scheduler.**", "fixed",
         "the state of the scheduler is stored"),
    Rule("initialize.definitions.preprocessors.**", "fixed", "what was fitted is stored"),
    Rule("initialize.definitions.gradient_clippers.spec.clip_value", "applied", "from now on"),
    Rule("initialize.definitions.gradient_clippers.spec.clip_norm", "applied", "from now on"),
    Rule("initialize.definitions.loader_factories.spec.kwargs.num_workers", "applied",
         "what workers draw at random is not what the main process draws"),
    *(
        Rule(f"initialize.definitions.datasets.spec.{key}", "free", "speed only")
        for key in ("cache", "cache_limit")
    ),
    *(
        Rule(f"initialize.definitions.loader_factories.spec.kwargs.{key}", "free", "speed only")
        for key in ("prefetch_factor", "pin_memory", "timeout", "multiprocessing_context")
    ),
    Rule("**", "refused", _BEGUN),
)  # fmt: skip

CODE_RULES = (
    *(
        Rule(role, "free", "it leaves no trace in the training")
        for role in ("output_device", "postprocessor", "post_processor", "input_converter")
    ),
    Rule("stop_condition", "applied", "asked at the end of the next epoch"),
    Rule("**", "refused", _BEGUN),
)
"""The same for the code of the user, by what it is there for: the group, or the key."""


def rule_of(path: Path, spec: Spec, is_new: bool, begun: int) -> Rule:
    """The first rule that fits a change.

    Args:
        path: What has changed.
        spec: The config with the change.
        is_new: Whether there was nothing at this path.
        begun: How many stages have begun.
    """
    steps = [str(step) for step in path]
    stage = steps[2] if steps[:2] == ["train", "stages"] and len(steps) > 2 else None
    if stage is not None and int(stage) >= begun:
        steps = ["train", "stages", "+"]
    elif steps[:2] in (["initialize", "definitions"], ["initialize", "pipelines"]):
        if is_new and len(steps) == 3:
            steps[2] = "+"
        elif steps[1] == "definitions" and len(steps) > 2:
            definition = spec.initialize.definitions[int(steps[2])]
            steps[2] = definition.group
            scheduled = getattr(definition.spec, "lr_scheduler", None) is not None
            if scheduled and steps[3:6] == ["spec", "kwargs", "lr"]:
                why = "the learning rate is the scheduler's to set, once a session is created"
                return Rule(".".join(steps), "fixed", why)
    return next(rule for rule in RULES if _fits(rule.where.split("."), steps))


def rule_of_code(role: str) -> Rule:
    """The first rule that fits changed code that is there for something."""
    return next(rule for rule in CODE_RULES if rule.where in (role, "**"))


def _fits(pattern: list[str], steps: list[str]) -> bool:
    if pattern[-1] == "**":
        head = pattern[:-1]
        return len(steps) >= len(head) and _fits_exactly(head, steps[: len(head)])
    return len(pattern) == len(steps) and _fits_exactly(pattern, steps)


def _fits_exactly(pattern: list[str], steps: list[str]) -> bool:
    return all(p in ("*", step) for p, step in zip(pattern, steps, strict=True))
