"""The norm of the gradients that an optimizer steps by."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer


def gradient_norm(optimizer: Optimizer) -> torch.Tensor | None:
    """The L2 norm of all gradients that an optimizer would step by now, as one vector.

    Returns:
        A scalar on the device of the parameters, which nobody has waited for, with the bits that
        ``torch.nn.utils.clip_grad_norm_`` gives; None where no parameter has a gradient.
    """
    parameters = (p for group in optimizer.param_groups for p in group["params"])
    found = {id(p): p.grad for p in parameters if p.grad is not None}.values()
    if not found:
        return None
    norm = get_total_norm([g.coalesce().values() if g.is_sparse else g for g in found])
    # Of models that processes share, each has the norm of its rows, until they ask each other.
    whole: Callable[[], torch.Tensor] | None = getattr(norm, "full_tensor", None)
    return norm if whole is None else whole()
