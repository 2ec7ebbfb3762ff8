"""What torch does to many tensors in one call."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def copy_all(targets: Sequence[torch.Tensor], sources: Sequence[torch.Tensor]) -> None:
    """Copy tensors into others of the same shapes, which need no gradient.

    Private: ``torch._foreach_copy_``, in torch 2.10 to 2.14: one kernel for many tensors on a GPU.

    Without it: tensor by tensor.
    """
    if not targets:
        return
    together = getattr(torch, "_foreach_copy_", None)
    with torch.no_grad():
        if together is not None:
            together(targets, sources)
            return
        for target, source in zip(targets, sources, strict=True):
            target.copy_(source)


def lerp_all(
    targets: Sequence[torch.Tensor], sources: Sequence[torch.Tensor], weight: float
) -> None:
    """Move tensors towards others of the same shapes: ``target += weight * (source - target)``.

    Private: ``torch._foreach_lerp_``, in torch 2.10 to 2.14: one kernel for many tensors on a GPU.

    Without it: tensor by tensor.

    Args:
        targets: Of one device and one dtype, of floating point or complex.
        sources: As they are. Neither needs a gradient, which is not looked at here: on a CPU that
            takes as long as a small layer.
        weight: Of the sources.
    """
    together = getattr(torch, "_foreach_lerp_", None)
    if together is not None:
        together(targets, sources, weight)
        return
    for target, source in zip(targets, sources, strict=True):
        target.lerp_(source, weight)
