"""Torch's compiler: kept from being imported where nothing is compiled, and from trying things out.

torch keeps its compiler from looking into some methods of an optimizer, and the first call of one
imports the compiler for that: more than a second, and 120 MB. Where nothing is compiled,
that is not needed. As soon as somebody has imported it, everything is as torch makes it.
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
_GRADIENT_WRAPPER = "_use_grad"


def defer_compiler_import() -> None:
    """Let the methods of optimizers be called as they are, until the compiler is imported.

    Private: the module ``torch._dynamo``, and the attribute ``__dynamo_disable`` that
    ``torch._disable_dynamo`` keeps its wrapper in, in torch 2.10 to 2.14.

    Without them: nothing is changed, and the first call imports the compiler.
    """
    for name in _METHODS:
        method = getattr(Optimizer, name)
        bare = getattr(method, "__wrapped__", None)
        if bare is not None and not hasattr(bare, _HIDDEN) and _COMPILER not in sys.modules:
            setattr(bare, _HIDDEN, _until_imported(method, bare))


def _until_imported(method: Callable[..., Any], bare: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        if _COMPILER not in sys.modules:
            return bare(*args, **kwargs)
        vars(bare).pop(_HIDDEN, None)
        return method(*args, **kwargs)

    return call


def without_gradient(step: Callable[..., Any]) -> Callable[..., Any]:
    """A step of an optimizer, with the gradient mode that torch sets around it.

    Private: ``_use_grad`` in ``torch.optim.optimizer``, the function that torch wraps steps in, in
    torch 2.10 to 2.14; it imports the compiler.

    Without it: the step as it is.

    Args:
        step: The step as torch has wrapped it, or as the optimizer's class defines it.
    """
    bare = getattr(step, "__wrapped__", None)
    if bare is None or step.__code__.co_name != _GRADIENT_WRAPPER:
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


def begin_probe_with(code: str) -> bool:
    """Put Python code before what the compiler runs to try out what it has compiled.

    It starts Python on a piece of text, for which Python looks in the working directory first.

    Private: ``torch._inductor.cpu_vec_isa.VecISA._avx_py_load``, in torch 2.10 to 2.14.

    Returns:
        Whether that could be done; without that name, nothing is.
    """
    try:
        from torch._inductor.cpu_vec_isa import VecISA
    except ImportError:
        return False
    probe = getattr(VecISA, "_avx_py_load", None)
    if not isinstance(probe, str):
        return False
    if not probe.startswith(code):
        VecISA._avx_py_load = code + probe
    return True
