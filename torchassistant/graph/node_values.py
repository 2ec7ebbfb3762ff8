"""Inputs that a model gets by keyword, and outputs that it gives by key."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch.nn.utils.rnn import PackedSequence

from torchassistant.errors import DataError, listing, near

Call = Callable[..., Any]


class Place(NamedTuple):
    """A node, for messages: its processor and its name."""

    processor: str
    node: str

    def __str__(self) -> str:
        return f'the node "{self.node}" of "{self.processor}"'


def keyword_call(call: Call, parameters: Sequence[str]) -> Call:
    """A call whose arguments, which come in order, go on by keyword.

    Args:
        call: Is called by keyword.
        parameters: A name for each argument.
    """

    def by_keyword(*args: Any) -> Any:
        return call(**dict(zip(parameters, args, strict=True)))

    return by_keyword


def keyed_call(call: Call, keys: Sequence[str], place: Place) -> Call:
    """A call that gives, as a list, what a model has returned by name.

    Args:
        call: Calls the model.
        keys: Which of it, in order; the rest is dropped.
        place: The node.
    """

    def by_key(*args: Any) -> list[Any]:
        result = call(*args)
        named = values_by_name(result)
        if named is None:
            raise DataError(
                f'"outputs" of {place} are keys ({listing(keys)}), and its model returned no dict, '
                f'dataclass or named tuple; it returned {kind_of(result)}; "outputs" as a list '
                "names tensors in their order",
                about=place,
            )
        return chosen_by_key(named, keys, place)

    return by_key


def listed(result: Any, names: Sequence[str], place: Place, may_lack: bool = False) -> list[Any]:
    """What a model has returned, as many values as there are names.

    A list of dicts under one name, as models that detect objects return for a batch, is one value.

    Args:
        result: What it has returned.
        names: Of the outputs of its node.
        place: The node.
        may_lack: Whether a list or tuple may end before the names do.

    Raises:
        DataError: It has returned something else.
    """
    if may_lack and type(result) in (list, tuple) and 0 < len(result) < len(names):
        return list(result)
    if isinstance(result, torch.Tensor) or (len(names) == 1 and _is_by_example(result)):
        result = (result,)
    elif not isinstance(result, (list, tuple)) or isinstance(result, PackedSequence):
        result = listed_by_key(result, names, place)
    if len(result) != len(names):
        raise miscounted(result, names, place)
    return list(result)


def _is_by_example(result: Any) -> bool:
    """Whether it is a dict for each example of a batch."""
    return type(result) is list and all(isinstance(one, dict) for one in result)


def listed_by_key(result: Any, names: Sequence[str], place: Place) -> list[Any]:
    """The values that a dict or the like has under some names.

    Raises:
        DataError: It is none, or does not have them.
    """
    named = values_by_name(result)
    if named is None:
        raise DataError(
            f"the model of {place} must return a tensor, a list or tuple of tensors, or a dict or "
            f"dataclass; it returned {kind_of(result)}",
            about=place,
        )
    return chosen_by_key(named, names, place)


def miscounted(result: Sequence[Any], names: Sequence[str], place: Place) -> DataError:
    """A model has returned fewer or more values than its node names."""
    kind = "" if type(result) in (list, tuple) else f" (a {kind_of(result)})"
    return DataError(
        f"{place} names {len(names)} outputs ({listing(names)}), and its model returned "
        f"{len(result)}{kind}",
        about=place,
    )


def chosen_by_key(named: Mapping[str, Any], keys: Sequence[str], place: Place) -> list[Any]:
    """The values of some keys.

    Raises:
        DataError: One is not there.
    """
    for key in keys:
        if key not in named:
            raise DataError(
                f'the model of {place} returned {listing(list(named))}; "{key}", which "outputs" '
                f"names, is not among them{near(key, list(named))}",
                about=place,
            )
    return [named[key] for key in keys]


def values_by_name(result: Any) -> Mapping[str, Any] | None:
    """What a model has returned, where its parts have names; else None.

    That is a dict or the like, as a ``ModelOutput``, a dataclass, or a named tuple.
    """
    if isinstance(result, Mapping):
        return result
    if isinstance(result, PackedSequence):
        return None
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        return {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    names = getattr(type(result), "_fields", None) if isinstance(result, tuple) else None
    return None if names is None else {name: getattr(result, name) for name in names}


def kind_of(value: Any) -> str:
    """The class of a value, as a message says it."""
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
