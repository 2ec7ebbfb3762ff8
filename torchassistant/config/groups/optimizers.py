"""What trains a model, and the scheduler that sets its learning rate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from torchassistant.config.blocks import Block, Count, Name, ObjectSpec
from torchassistant.config.change_rule import Condition, Rule
from torchassistant.config.groups.group import Group, all_of_it
from torchassistant.config.references import Reference, module_named
from torchassistant.config.role import OPTIMIZER, SCHEDULER, Role

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


class OptimizerSpec(ObjectSpec):
    """A ``torch.optim.Optimizer`` over the parameters of one model, or of one loss."""

    model: Name = Field(
        description="The model whose parameters it changes; or `losses.NAME`, a loss that has some."
    )
    lr_scheduler: Annotated[SchedulerSpec | None, LR_SCHEDULER] = Field(
        None, description="Sets its learning rate."
    )


def _references(spec: OptimizerSpec) -> Iterator[Reference]:
    yield Reference(("model",), *module_named(spec.model))


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
        Rule(
            "spec.kwargs.lr.**",
            "fixed",
            "the learning rate is set by the scheduler, once a session is created",
            only=Condition("with an `lr_scheduler`", lambda spec: spec.lr_scheduler is not None),
        ),
        *(
            Rule(f"spec.kwargs.{key}.**", "applied", "from now on")
            for key in ("lr", "weight_decay", "betas", "eps", "alpha", "rho", "maximize")
        ),
        Rule("spec.args.**", "fixed", "pass it by keyword instead"),
        Rule("spec.lr_scheduler.**", "fixed", "the state of the scheduler is stored"),
    ),
)
