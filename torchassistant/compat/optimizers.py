"""What torch puts around the steps of optimizers, for profilers and schedulers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer, optimizer

from torchassistant.compat.compiler import without_gradient
from torchassistant.compat.profiler import profiler_check
from torchassistant.compat.step_forms import stepping_in_form

_BY_SCHEDULER = "_wrapped_by_lr_sched"


def direct_step(target: Optimizer) -> Callable[[], Any] | None:
    """A call that does what ``target.step()`` does, and makes no record while nobody profiles.

    Where a profiler or a hook is there when it is called, the optimizer's own method is called.

    Private: ``_optimizer_step_pre_hooks`` and ``_optimizer_step_post_hooks`` of an optimizer, the
    global tables of their kind in ``torch.optim.optimizer``, ``_wrapped_by_lr_sched`` of a method
    that a scheduler has replaced, and ``_opt_called`` (:func:`mark_stepped`), in torch 2.10 to
    2.14.

    Returns:
        None where the class has a step of its own, or torch wraps it in another way than is known:
        then ``target.step`` is to be called.
    """
    whole: Any = type(target).step
    bare = getattr(whole, "__wrapped__", None)
    patched = vars(target).get("step")
    is_known = getattr(whole, "hooked", False) is True and (
        patched is None or hasattr(patched, _BY_SCHEDULER)
    )
    hooks = _hooks_of(target)
    if bare is None or not is_known or hooks is None:
        return None
    run, is_profiling = stepping_in_form(target, without_gradient(bare)), profiler_check()

    def step() -> None:
        if any(hooks) or is_profiling():
            target.step()
        else:
            target._opt_called = True  # type: ignore[attr-defined]
            run()

    return step


def _hooks_of(target: Optimizer) -> tuple[Any, ...] | None:
    """The tables of hooks that are called around the steps of an optimizer."""
    own = (getattr(target, name, None) for name in _OWN_HOOKS)
    tables = (*own, *(getattr(optimizer, name, None) for name in _GLOBAL_HOOKS))
    return None if any(table is None for table in tables) else tables


_OWN_HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
_GLOBAL_HOOKS = ("_global_optimizer_pre_hooks", "_global_optimizer_post_hooks")


def mark_stepped(target: Optimizer) -> None:
    """Let a scheduler take it that its optimizer has stepped before it.

    The first step of an optimizer may have been in another process, or left out by a gradient
    scaler; a scheduler would warn of the wrong order.

    Private: ``Optimizer._opt_called``, in torch 2.10 to 2.14. A version that does not look at it
    warns, and nothing else happens.
    """
    target._opt_called = True  # type: ignore[attr-defined]
