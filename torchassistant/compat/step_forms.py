"""In which form torch's optimizers step on the CPU: chosen once, and not in each step.

``foreach`` says whether a step goes from parameter to parameter, or from operation to operation
with lists of tensors. Where it is None, as usual, torch looks at all parameters in every step, and
takes the first form on the CPU. For the many small tensors of Adam the second one takes less time;
it makes the same operations, so that the bits are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.optim import Adam, AdamW, Optimizer

from torchassistant.compat.compiler import without_gradient

_BY_LISTS = (Adam, AdamW)
_FEWEST = 8
"""Parameters, at least: for fewer of them lists take longer."""
_LARGEST = 2**18
"""Numbers in all of them, at most: lists need memory for some copies of all."""


def stepping_in_form(target: Optimizer, bare: Callable[..., Any]) -> Callable[[], Any]:
    """A call of a step that does not ask torch which form it should have.

    Args:
        target: Whose.
        bare: The step, without what torch puts around it.
    """
    foreach = _form_of(target)
    if foreach is None:
        return lambda: bare(target)

    def step() -> None:
        undecided = [g for g in target.param_groups if g.get("foreach", foreach) is None]
        for group in undecided:
            group["foreach"] = foreach
        try:
            bare(target)
        finally:
            for group in undecided:
                group["foreach"] = None

    return step


def _form_of(target: Optimizer) -> bool | None:
    """Whether by lists; None where torch is to choose."""
    parameters = [p for group in target.param_groups for p in group["params"]]
    kind: Any = type(target)
    is_torchs = kind.__module__.startswith("torch.optim.")
    if not (is_torchs and all(map(_is_usual, parameters))):
        return None
    is_small = sum(p.numel() for p in parameters) <= _LARGEST
    by_lists = kind in _BY_LISTS and len(parameters) >= _FEWEST and is_small
    return by_lists and all(map(_is_plain, target.param_groups)) and _has_same_bits(kind)


def _is_usual(parameter: torch.Tensor) -> bool:
    return parameter.is_cpu and type(parameter) in (nn.Parameter, torch.Tensor)


def _is_plain(group: dict[str, Any]) -> bool:
    asked = any(group.get(name) for name in ("fused", "capturable", "differentiable"))
    return (
        not asked
        and not isinstance(group["lr"], torch.Tensor)
        and all(p.dtype in (torch.float32, torch.float64) for p in group["params"])
    )


@cache
def _has_same_bits(kind: Any) -> bool:
    """Whether both forms come to the same in this version of torch: tried out, in a millisecond."""
    found = [_tried(kind, foreach) for foreach in (False, True)]
    return all(map(torch.equal, *found))


def _tried(kind: Any, foreach: bool) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    parameters = [
        nn.Parameter(torch.randn(shape, generator=draw, dtype=dtype))
        for shape in ((), (3,), (17, 5))
        for dtype in (torch.float32, torch.float64)
    ]
    groups = [
        {"params": parameters[0::3], "weight_decay": 0.1},
        {"params": parameters[1::3], "amsgrad": True},
        {"params": parameters[2::3], "maximize": True, "betas": (0.5, 0.9)},
    ]
    optimizer = kind(groups, lr=0.01, foreach=foreach)
    step = without_gradient(kind.step.__wrapped__)  # as it is in training; it imports no compiler
    for _ in range(3):
        for p in parameters:
            p.grad = torch.randn(p.shape, generator=draw, dtype=p.dtype)
        step(optimizer)
    states = (optimizer.state[p] for p in parameters)
    return [*(p.detach() for p in parameters), *(t for s in states for t in s.values())]
