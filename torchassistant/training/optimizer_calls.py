"""The two calls of an optimizer in an iteration, without what torch puts around them for profilers.

And what there is to say of optimizers, schedulers and clippers that cannot do their part.

A record for the profiler is made around every ``step`` and ``zero_grad``, whether one runs or not;
for a small network it takes longer than the update itself. Where a profiler or a hook is there, the
optimizer's own methods are called.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from types import MethodType
from typing import Any

import torch
from torch.optim import Optimizer

from torchassistant.compat.optimizers import direct_step
from torchassistant.errors import DataError, UserCodeError, UserError
from torchassistant.ownership import is_from_users_code

Call = Callable[[], Any]

_LONGEST = 200


def parameters_of(optimizers: Iterable[Optimizer]) -> list[torch.Tensor]:
    """What optimizers change, each parameter once."""
    groups = (group for optimizer in optimizers for group in optimizer.param_groups)
    # By identity: the hash of a tensor says no more, and takes longer.
    return list({id(p): p for group in groups for p in group["params"]}.values())


def needs_closure(step: Callable[..., Any]) -> bool:
    """Whether the ``step`` of an optimizer cannot be called without an argument.

    Args:
        step: Bound to its optimizer, or, where that is not built yet, to anything.
    """
    try:
        inspect.signature(step).bind()
    except TypeError:
        return True
    except ValueError:  # what is written in C may have no signature
        return False
    return False


def is_by_closure(optimizer: Optimizer) -> bool:
    """Whether an optimizer demands a closure; asked of its class, as schedulers wrap its step."""
    return needs_closure(MethodType(type(optimizer).step, optimizer))


NO_FP16 = (
    'needs a closure, which computes the loss again in each step; in "fp16" a step is taken once, '
    'by gradients that are scaled; "bf16" has the range of float32'
)


def two_closures(one: str, other: str) -> str:
    """What is wrong with a pipeline that is trained by two optimizers that need a closure."""
    return (
        f'the optimizers "{one}" and "{other}" both need a closure, and each would compute the '
        "loss while the other one steps; give each a pipeline of its own"
    )


def failure(what: str, error: Exception, where: str = "") -> UserError | UserCodeError:
    """What stopped an update of parameters, as the error of the user's code, or of the config.

    Args:
        what: What failed, as ``the step of the optimizer "adam"``.
        error: What was raised.
        where: A clause for messages, as ``, in the pipeline "fit"``.
    """
    if is_from_users_code(error):
        return UserCodeError(what)
    return DataError(f"{what}{where}: {first_sentence(error)}")


def first_sentence(error: BaseException) -> str:
    """What an error says, without what libraries list behind it."""
    line = str(error).splitlines()[0] if str(error) else type(error).__name__
    return line if len(line) <= _LONGEST else line.split(". ")[0]


def stepping(target: Optimizer) -> Call:
    """A call that does what ``target.step()`` does."""
    direct = direct_step(target)
    return target.step if direct is None else direct


def zeroing(target: Optimizer) -> Call:
    """A call that does what ``target.zero_grad()`` does."""
    if type(target).zero_grad is not Optimizer.zero_grad or "zero_grad" in vars(target):
        return target.zero_grad
    parameters = parameters_of([target])

    def zero() -> None:
        for parameter in parameters:
            parameter.grad = None

    return zero
