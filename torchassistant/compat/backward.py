"""The backward pass of one number, without what torch asks of every argument that it could have."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import has_torch_function


def backward(total: torch.Tensor, retain_graph: bool) -> None:
    """Do what ``total.backward(retain_graph=retain_graph)`` does.

    torch looks at all that could be given besides, which for a small network takes longer than the
    pass. Where a tensor, a mode or somebody's replacement of torch's functions has a say in it,
    theirs is called.

    Private: ``torch.autograd.graph._engine_run_backward`` and
    ``torch._C._are_functorch_transforms_active``, in torch 2.10 to 2.14.

    Without them: the tensor's own method is called.

    Args:
        total: A scalar, any float dtype.
        retain_graph: Whether what the pass needs is kept for another one.
    """
    if _is_plain(total):
        # Made anew each time: the gradient is for whoever is in the graph, to change too.
        gradient = torch.ones_like(total)
        _run(
            (total,),
            (gradient,),
            retain_graph,
            False,
            (),
            allow_unreachable=True,
            accumulate_grad=True,
        )
    else:
        total.backward(retain_graph=retain_graph)


def _is_plain(total: torch.Tensor) -> bool:
    return (
        _run is not None
        and _is_transforming is not None
        and type(total) is torch.Tensor
        and total.requires_grad
        and total.is_floating_point()
        and total.numel() == 1
        and torch.Tensor.backward is _METHOD
        and torch.autograd.backward is _FUNCTION
        and not has_torch_function((total,))
        and not _is_transforming()
    )


_METHOD, _FUNCTION = torch.Tensor.backward, torch.autograd.backward
_run: Any = getattr(torch.autograd.graph, "_engine_run_backward", None)
_is_transforming: Any = getattr(torch._C, "_are_functorch_transforms_active", None)
