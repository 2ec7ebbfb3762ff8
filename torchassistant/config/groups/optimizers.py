"""What trains a model, and the scheduler that sets its learning rate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from torchassistant.config.blocks import Block, Count, Name, NameOrNames, ObjectSpec
from torchassistant.config.change_rule import Condition, Rule
from torchassistant.config.groups.group import Group, all_of_it
from torchassistant.config.module_patterns import PatternSpec
from torchassistant.config.optimizer_state import STATE_OF_OPTIMIZER, OptimizerStateSpec
from torchassistant.config.references import Key, Reference, module_named
from torchassistant.config.role import OPTIMIZER, SCHEDULER, Role
from torchassistant.config.tree import Path

LR_SCHEDULER = Role(
    "lr_scheduler",
    "learning rate scheduler",
    ("torch.optim.lr_scheduler",),
    bases=("torch.optim.lr_scheduler.LRScheduler",),
    kind=SCHEDULER,
    holds=(SCHEDULER,),
    given=("the optimizer",),
    only_as="optimizer",
    after_session=("the optimizer",),
)


class WarmupSpec(Block):
    """A learning rate that rises linearly, before the scheduler begins."""

    steps: Count = Field(description="How long it rises, in units of the scheduler's `interval`.")
    start_factor: Annotated[float, Field(gt=0, le=1)] = Field(
        0.01, description="By what the learning rate is multiplied at first."
    )


class SchedulerSpec(ObjectSpec):
    """A learning rate scheduler; it is built with the optimizer first."""

    interval: Literal["epoch", "step"] = Field("epoch", description="When it steps.")
    monitor: Name | None = Field(None, description="Display name that the scheduler monitors.")
    warmup: WarmupSpec | None = Field(
        None, description="Left out: the scheduler begins with the first step."
    )


class ParameterGroupSpec(PatternSpec):
    """Parameters of an optimizer that have arguments of their own."""

    name: Name | None = Field(None, description="Left out: what it matches.")
    kwargs: dict[str, Any] = Field(
        {}, description="Arguments of the optimizer that are others for this group."
    )

    @property
    def shown_as(self) -> str:
        """The name under which the optimizer has the group."""
        return self.name or ", ".join([*(text for _, text in self.globs), *(self.types or ())])


class OptimizerSpec(ObjectSpec):
    """A ``torch.optim.Optimizer`` over the parameters of models, and of losses."""

    model: NameOrNames = Field(
        description="The models whose parameters it changes; `losses.NAME` is a loss that has some."
    )
    parameters: list[ParameterGroupSpec] = Field(
        [],
        description="Groups of parameters; each parameter is in the first that matches it, and "
        "what none matches in a last one, with the `kwargs` of the optimizer.",
    )
    rest: bool = Field(
        True, description="Whether it trains what none of `parameters` matches, too."
    )
    lr_scheduler: Annotated[SchedulerSpec | None, LR_SCHEDULER] = Field(
        None, description="Sets its learning rate."
    )

    state: Annotated[OptimizerStateSpec | None, STATE_OF_OPTIMIZER] = Field(
        None,
        description="What it begins with, in place of nothing; see "
        "[weights](weights.md#the-state-of-an-optimizer).",
    )

    @property
    def models(self) -> list[tuple[Path, str]]:
        """The names of the models and losses, each with where it stands in here."""
        if isinstance(self.model, list):
            return [(("model", index), name) for index, name in enumerate(self.model)]
        return [(("model",), self.model)]

    def trains(self, key: Key) -> bool:
        """Whether it is for a model, or for a loss."""
        return any(module_named(name) == key for _, name in self.models)


REST = "rest"
"""The name of the group of what none of ``parameters`` matches."""


def _references(spec: OptimizerSpec) -> Iterator[Reference]:
    for path, name in spec.models:
        yield Reference(path, *module_named(name))


_LIVE = ("lr", "weight_decay", "betas", "eps", "alpha", "rho", "maximize")
"""Arguments that an optimizer reads in each step, and that fit the state that it has."""
_PLACES = "the state of each parameter is stored by its place in the groups"

_SCHEDULED = Condition(
    "with an `lr_scheduler`", lambda changed: changed[-1].lr_scheduler is not None
)

OPTIMIZERS = Group(
    "optimizers",
    "optimizer",
    OptimizerSpec,
    section="optimizers",
    references=_references,
    role=Role(
        "optimizers",
        "torch.optim.Optimizer",
        ("torch.optim",),
        bases=("torch.optim.Optimizer", "torch.optim.optimizer.Optimizer"),
        kind=OPTIMIZER,
        given=("the parameters",),
    ),
    state="training",
    held=all_of_it,
    id_keys=(("schedulers", "lr_scheduler"),),
    changes=(
        Rule("spec.state.**", "free", "it was read when the session was created"),
        Rule(
            "spec.kwargs.lr.**",
            "fixed",
            "the learning rate is set by the scheduler, once a session is created",
            only=_SCHEDULED,
        ),
        *(Rule(f"spec.kwargs.{key}.**", "applied", "from now on") for key in _LIVE),
        Rule(
            "spec.parameters.*.kwargs.lr.**",
            "fixed",
            "the learning rate is set by the scheduler, once a session is created",
            only=_SCHEDULED,
        ),
        *(Rule(f"spec.parameters.*.kwargs.{key}.**", "applied", "from now on") for key in _LIVE),
        Rule(
            "spec.parameters.*.kwargs.**",
            "refused",
            "this was decided when the session was created",
        ),
        Rule("spec.parameters.*.name", "applied", "a name changes no result"),
        Rule("spec.parameters.**", "fixed", _PLACES),
        Rule("spec.rest", "fixed", _PLACES),
        Rule("spec.model.**", "fixed", _PLACES),
        Rule("spec.args.**", "fixed", "pass it by keyword instead"),
        Rule("spec.lr_scheduler.**", "fixed", "the state of the scheduler is stored"),
    ),
)
