"""Optimizers without torch's compiler, which they would import to tell it to look away.

torch keeps its compiler from looking into some methods of an optimizer, and the first call of one
imports the compiler for that: more than a second, and 120 MB. Where nothing is compiled, nobody has
to be told. As soon as somebody has imported it, everything is as torch makes it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer

_METHODS = ("add_param_group", "state_dict", "load_state_dict", "zero_grad")
_COMPILER = "torch._dynamo"
# What torch calls in place of a method, once it has made it.
_HIDDEN = "__dynamo_disable"


def leave_compiler_out() -> None:
    """Let the methods of optimizers be called as they are, until the compiler is imported."""
    for name in _METHODS:
        method = getattr(Optimizer, name)
        bare = getattr(method, "__wrapped__", None)
        if bare is not None and not hasattr(bare, _HIDDEN) and _COMPILER not in sys.modules:
            setattr(bare, _HIDDEN, _until_imported(method, bare))


def without_gradient(step: Callable[..., Any]) -> Callable[..., Any]:
    """A step of an optimizer, with the gradient mode that torch sets around it.

    Args:
        step: The step as torch has wrapped it, or as the optimizer's class defines it.
    """
    bare = getattr(step, "__wrapped__", None)
    if bare is None or step.__code__.co_name != "_use_grad":
        return step

    def run(target: Optimizer) -> Any:
        if _COMPILER in sys.modules:
            return step(target)
        before = torch.is_grad_enabled()
        torch.set_grad_enabled(target.defaults["differentiable"])
        try:
            return bare(target)
        finally:
            torch.set_grad_enabled(before)

    return run


def _until_imported(method: Callable[..., Any], bare: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        if _COMPILER not in sys.modules:
            return bare(*args, **kwargs)
        vars(bare).pop(_HIDDEN, None)
        return method(*args, **kwargs)

    return call
