"""State that a node carries from each batch to the next one of its pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from torchassistant.errors import DataError, UserCodeError, UserError
from torchassistant.graph.node_values import Place, kind_of

Carried = dict[str, Any]
"""What a processor carries on: ``{"examples": count, "nodes": {node: {input: value}}}``.

A value is a tensor without gradient, None, or tuples, lists and dicts of such.
"""


class Carry(NamedTuple):
    """An input of a node that is an output of the batch before.

    Args:
        input: Its name.
        output: An output of a node of the same processor.
    """

    input: str
    output: str


def first_values(
    model: nn.Module, carries: Sequence[Carry], examples: int, place: Place
) -> dict[str, Any]:
    """What a node gets at the beginning of a pass, by input.

    That is what the model's ``initial_state(batch_size)`` gives: the value, or of several carries
    a dict by input, or their values in order. Without such a method it is None.

    Raises:
        DataError: It gives other or fewer values.
        UserCodeError: It raised.
    """
    names = [carry.input for carry in carries]
    make = getattr(model, "initial_state", None)
    if make is None:
        return dict.fromkeys(names)
    what = f"initial_state of the model of {place}"
    try:
        given = make(examples)
    except UserError:
        raise
    except Exception as error:
        raise UserCodeError(what) from error
    if len(names) == 1:
        return {names[0]: given}
    if isinstance(given, Mapping) and given.keys() == set(names):
        return dict(given)
    if isinstance(given, (list, tuple)) and len(given) == len(names):
        return dict(zip(names, given, strict=True))
    raise DataError(
        f"{what} must give a value for each of {', '.join(names)}, as a dict or in this order; it "
        f"gave {kind_of(given)}",
        about=place,
    )


def expect_examples(before: Carried, examples: int, processor: str) -> None:
    """Expect a batch to be as large as that from which something is carried.

    Raises:
        DataError: It is not.
    """
    if before["examples"] != examples:
        raise DataError(
            f'"{processor}" carries a state on from a batch of {before["examples"]} examples, and '
            f'this batch has {examples}; with "contiguous": true, or "drop_last", a loader gives '
            "whole batches only",
            about=(processor,),
        )


def detached(value: Any, name: str, place: Place) -> Any:
    """A copy of a value, without gradient, that nothing changes in place.

    Raises:
        DataError: It holds something that cannot be carried.
    """

    def copied(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.detach().clone()

    def refused(found: Any) -> DataError:
        return DataError(
            f'"{name}", which {place} carries on, holds {kind_of(found)}; tensors are carried, and '
            "tuples, lists and dicts of them",
            about=place,
        )

    return mapped(value, copied, refused)


def mapped(
    value: Any,
    change: Callable[[torch.Tensor], torch.Tensor],
    refused: Callable[[Any], Exception] | None = None,
) -> Any:
    """A value with each of its tensors changed.

    Args:
        value: A tensor, None, or tuples, lists and dicts of such.
        change: Called with each tensor.
        refused: Makes what is raised over anything else; None: that stays as it is.
    """
    if isinstance(value, torch.Tensor):
        return change(value)
    if type(value) in (tuple, list):
        return type(value)([mapped(item, change, refused) for item in value])
    if type(value) is dict:
        return {key: mapped(item, change, refused) for key, item in value.items()}
    if value is not None and refused is not None:
        raise refused(value)
    return value


def recut_carries(parts: Sequence[Mapping[str, Carried]], count: int) -> list[dict[str, Carried]]:
    """What the parts of a batch carry on, for a batch that is cut into another number of parts.

    Args:
        parts: Of each part what each processor carries; nothing where it has no example.
        count: Into how many parts it is cut from now on; their sizes differ by one at most.

    Raises:
        DataError: Nobody can tell which axis of a tensor has the rows.
    """
    found: list[dict[str, Carried]] = [{} for _ in range(count)]
    filled = [part for part in parts if part]
    for name in filled[0] if filled else ():
        examples = [part[name]["examples"] for part in filled]
        each, rest = divmod(sum(examples), count)
        sizes = [each + (number < rest) for number in range(count)]
        pieces = _recut([part[name]["nodes"] for part in filled], examples, sizes, name)
        for part, size, nodes in zip(found, sizes, pieces, strict=True):
            if size:
                part[name] = {"examples": size, "nodes": nodes}
    return found


def _recut(
    values: Sequence[Any], examples: Sequence[int], sizes: Sequence[int], name: str
) -> list[Any]:
    first = values[0]
    if isinstance(first, torch.Tensor):
        axis = _axis_of_rows(values, examples, name)
        return list(torch.cat(list(values), axis).split(list(sizes), axis))
    if isinstance(first, dict):
        inner = {key: _recut([v[key] for v in values], examples, sizes, name) for key in first}
        return [{key: inner[key][number] for key in first} for number in range(len(sizes))]
    if isinstance(first, (tuple, list)):
        items = [_recut(item, examples, sizes, name) for item in zip(*values, strict=True)]
        return [type(first)(some) for some in zip(*items, strict=True)]
    return [first] * len(sizes)


def _axis_of_rows(tensors: Sequence[torch.Tensor], examples: Sequence[int], name: str) -> int:
    pairs = list(zip(tensors, examples, strict=True))
    axes = [
        axis
        for axis in range(tensors[0].ndim)
        if all(tensor.shape[axis] == rows for tensor, rows in pairs)
    ]
    if len(axes) == 1:
        return axes[0]
    shapes = " and ".join(str(tuple(tensor.shape)) for tensor in tensors)
    raise DataError(
        f'"{name}" carries a state on whose rows cannot be told (shapes {shapes}), so '
        "that it cannot be cut for another number of processes in the middle of a pass; train to "
        "the end of the epoch with as many as before",
        about=(name,),
    )
