"""The two calls of an optimizer in an iteration, without what torch puts around them for profilers.

A record for the profiler is made around every ``step`` and ``zero_grad``, whether one runs or not;
for a small network it takes longer than the update itself. Where a profiler or a hook is there, the
optimizer's own methods are called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import Optimizer, optimizer

from torchassistant.training.uncompiled import without_gradient

Call = Callable[[], Any]


def parameters_of(optimizers: Iterable[Optimizer]) -> list[torch.Tensor]:
    """What optimizers change, each parameter once."""
    groups = (group for optimizer in optimizers for group in optimizer.param_groups)
    # By identity: the hash of a tensor says no more, and takes longer.
    return list({id(p): p for group in groups for p in group["params"]}.values())


def stepping(target: Optimizer) -> Call:
    """A call that does what ``target.step()`` does."""
    whole = type(target).step
    bare = getattr(whole, "__wrapped__", None)
    patched = vars(target).get("step")
    is_known = getattr(whole, "hooked", False) and (
        patched is None or hasattr(patched, "_wrapped_by_lr_sched")
    )
    if bare is None or not is_known:
        return target.step
    bare = without_gradient(bare)
    hooks = (
        target._optimizer_step_pre_hooks,
        target._optimizer_step_post_hooks,
        optimizer._global_optimizer_pre_hooks,
        optimizer._global_optimizer_post_hooks,
    )

    def step() -> None:
        if any(hooks) or torch.autograd._profiler_enabled():  # type: ignore[attr-defined]
            target.step()
        else:
            # A learning rate scheduler asks for it, to warn of the wrong order of steps.
            target._opt_called = True  # type: ignore[attr-defined]
            bare(target)

    return step


def zeroing(target: Optimizer) -> Call:
    """A call that does what ``target.zero_grad()`` does."""
    if type(target).zero_grad is not Optimizer.zero_grad or "zero_grad" in vars(target):
        return target.zero_grad
    parameters = parameters_of([target])

    def zero() -> None:
        for parameter in parameters:
            parameter.grad = None

    return zero
