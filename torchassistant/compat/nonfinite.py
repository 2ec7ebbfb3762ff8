"""What torch keeps private about gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch

Check = Callable[[list[torch.Tensor], torch.Tensor, torch.Tensor], object]


def nonfinite_check() -> Check:
    """A function that looks at many gradients at once; to be looked up once, and called often.

    It takes dense, real gradients of one device, a float32 scalar that it sets to one where any of
    them is not finite, and a float32 scalar that it multiplies them by.

    Private: ``torch._amp_foreach_non_finite_check_and_unscale_``, in torch 2.10 to 2.14: one pass
    over all gradients, and torch has nothing cheaper.

    Without it: one that raises ``RuntimeError``, as that one does for gradients of other kinds; who
    calls it looks at each gradient by itself then.
    """
    found: Check = getattr(torch, "_amp_foreach_non_finite_check_and_unscale_", _refuse)
    return found


def _refuse(gradients: list[torch.Tensor], found: torch.Tensor, factor: torch.Tensor) -> None:
    raise RuntimeError("torch has no check of many gradients at once")
