"""Private names of torch that recurrent layers are traced with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


def scan(step: Callable[[Any, Any], tuple[Any, Any]], first: Any, inputs: Any) -> tuple[Any, Any]:
    """Run a step along the first axis of some tensors, as one operator of a traced program.

    That is ``torch._higher_order_ops.scan.scan``. Where it is gone, the steps are written out one
    by one, and the length of the axis is fixed.

    Args:
        step: From what is carried and the next of the inputs, to what is carried on, and a tensor.
        first: What is carried to the first step: a tuple of tensors.
        inputs: Tensors (T, ...), in a tuple.

    Returns:
        What was carried last; and the tensors of all steps, stacked (T, ...).
    """
    try:
        from torch._higher_order_ops.scan import scan as of_torch
    except ImportError:
        return written_out(step, first, inputs)
    return of_torch(step, first, inputs)


def written_out(
    step: Callable[[Any, Any], tuple[Any, Any]], first: Any, inputs: Any
) -> tuple[Any, Any]:
    """The same, step by step: a program of it holds as many as the axis has places."""
    given = []
    for number in range(inputs[0].shape[0]):
        first, one = step(first, tuple(value[number] for value in inputs))
        given.append(one)
    return first, torch.stack(given)


@contextmanager
def replaced(
    layers: Mapping[type[nn.Module], Callable[..., Any]],
    pack: Callable[..., Any],
    pad: Callable[..., Any],
) -> Iterator[None]:
    """Let layers, and the packing of sequences, be computed by other functions in here.

    ``torch.nn.utils.rnn`` packs by ``torch._VF``; where that is not asked any more, packed
    sequences cannot be traced, and torch says so.

    Args:
        layers: A ``forward`` by class.
        pack: In place of ``torch._VF._pack_padded_sequence``.
        pad: In place of ``torch._VF._pad_packed_sequence``.
    """
    before = {kind: kind.forward for kind in layers}
    functions: Any = getattr(torch, "_VF", None)
    names = {"_pack_padded_sequence": pack, "_pad_packed_sequence": pad}
    try:
        for kind, forward in layers.items():
            setattr(kind, "forward", forward)  # noqa: B010 (mypy takes methods for constants)
        if functions is not None:
            vars(functions).update(names)
        yield
    finally:
        for kind, forward in before.items():
            setattr(kind, "forward", forward)  # noqa: B010
        if functions is not None:
            for name in names:
                vars(functions).pop(name, None)
