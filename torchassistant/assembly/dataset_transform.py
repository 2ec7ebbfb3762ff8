"""The transform that a dataset applies to its inputs itself, for inputs that come from elsewhere.

``transform`` is the habit of torchvision: an argument of the dataset, and an attribute afterwards.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

from torchassistant.assembly.allowlist import LIBRARIES
from torchassistant.assembly.builder import Builder
from torchassistant.config import Key, Spec, as_slice
from torchassistant.data import laid_around
from torchassistant.errors import cause_of

_NAMES = ("transform", "transforms")


@dataclass(frozen=True, slots=True, eq=False)
class OwnTransform:
    """What a dataset does to its inputs itself, as far as it can be known.

    Args:
        dataset: The name of its definition.
        apply: Input → what the examples hold; None where there is nothing to apply.
        unknown: Why it cannot be told; empty where it can.
        is_sure: Whether the dataset does nothing else to its inputs; who knows what a user's does.
    """

    dataset: str
    apply: Callable[[Any], Any] | None = None
    unknown: str = ""
    is_sure: bool = False


def own_transform(builder: Builder, name: str, builds: bool) -> OwnTransform:
    """What stands at the ground of a dataset, under links, splits, merges and preprocessors.

    Args:
        builder: Of the session.
        name: The dataset, or a slice.
        builds: Whether a dataset is built where only its instance can tell.
    """
    names = dict.fromkeys(grounds(builder.spec, name))
    found = [_of_definition(builder, ground, builds) for ground in names]
    if not found:
        return OwnTransform(name)
    first, *others = found
    known = builder.spec.group("datasets")
    for other in others:
        applies = first.apply is not None or other.apply is not None
        if applies and not _alike(known[first.dataset], known[other.dataset]):
            why = (
                f'"{first.dataset}" and "{other.dataset}", which it merges, may not apply the same'
            )
            return OwnTransform(name, unknown=why)
    return first


def grounds(spec: Spec, name: str, above: frozenset[str] = frozenset()) -> Iterator[str]:
    """The names of the datasets that a dataset, or a slice, is made of in the end."""
    if name in above:  # a cycle, which the check of the config reports
        return
    above |= {name}
    dataset = spec.group("datasets").get(name)
    if dataset is None:
        piece = as_slice(name)
        split = spec.group("splits").get(piece.split) if piece else None
        below = [] if split is None else [split.dataset_name]
    else:
        below = [dataset.link] if dataset.link else list(dataset.merge or ())
    for inner in below:
        yield from grounds(spec, inner, above)
    if dataset is not None and not below:
        yield name


def _alike(one: Any, other: Any) -> bool:
    """Whether two definitions give the same transform."""
    return bool(one.kwargs.get("transform") == other.kwargs.get("transform") is not None)


def _of_definition(builder: Builder, name: str, builds: bool) -> OwnTransform:
    if dict.__contains__(builder.parts.datasets, name):
        return _of_built(builder.parts.datasets[name], name)
    try:
        found = _of_arguments(builder, name)
    except Exception as error:
        return OwnTransform(name, unknown=_reason(error))
    if found is not None or not builds:
        return found or OwnTransform(name)
    try:
        builder.build([Key("datasets", name)])
    except Exception as error:
        return OwnTransform(name, unknown=f"it cannot be built ({_reason(error)})")
    return _of_built(builder.parts.datasets[name], name)


def _reason(error: Exception) -> str:
    text = str(cause_of(error)).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _of_arguments(builder: Builder, name: str) -> OwnTransform | None:
    """What the definition says; None where only an instance can tell."""
    spec, path = builder.spec.group("datasets")[name], builder.paths[Key("datasets", name)]
    key = "class" if spec.class_ else "factory_fn"
    target = builder.maker.find(spec.class_ or spec.factory_fn, (*path, key), "datasets")
    is_users = getattr(target, "__module__", "").partition(".")[0] not in LIBRARIES
    if spec.class_ is None or not inspect.isclass(target):
        return None if _mentions(target) else OwnTransform(name)
    parameters = inspect.signature(target).parameters
    given = inspect.signature(target).bind_partial(*spec.args, **spec.kwargs).arguments
    for argument in _NAMES:
        described = given.get(argument)
        if argument not in parameters or described is None:
            continue
        what = f'the {argument} of the dataset "{name}"'
        if argument in spec.kwargs:
            here = (*path, "kwargs", argument)
        else:
            here = (*path, "args", list(parameters).index(argument))
        return _usable(builder.maker.value(described, here, what, "datasets"), name)
    if not is_users:
        holds_another = any(isinstance(value, dict) for value in spec.args)
        return None if holds_another else OwnTransform(name, is_sure=True)
    return None if any(map(_mentions, _methods(target))) else OwnTransform(name)


def _methods(kind: type) -> Iterator[Any]:
    for base in kind.__mro__:
        if base.__module__.partition(".")[0] not in (*LIBRARIES, "builtins", "typing"):
            yield from vars(base).values()


def _mentions(function: Any) -> bool:
    """Whether the code of a function names a transform."""
    return isinstance(function, FunctionType) and _is_named_in(function.__code__)


def _is_named_in(code: CodeType) -> bool:
    words = {*code.co_names, *code.co_varnames}
    for constant in code.co_consts:
        if isinstance(constant, tuple):  # the names of arguments in a call
            words.update(item for item in constant if isinstance(item, str))
        elif isinstance(constant, CodeType) and _is_named_in(constant):
            return True
    return not words.isdisjoint(_NAMES)


def _of_built(dataset: Any, name: str) -> OwnTransform:
    """The transform of an instance, or of the first one inside it that has any."""
    waiting = [dataset]
    while waiting:
        dataset = waiting.pop(0)
        for attribute in ("transforms", "transform"):
            transform = getattr(dataset, attribute, None)
            if callable(transform):
                return _usable(transform, name)
        waiting += laid_around(dataset)
    return OwnTransform(name)


def _usable(transform: Any, name: str) -> OwnTransform:
    """What of a transform there is for an input without a target."""
    kind = type(transform)
    if kind.__module__ == "torchvision.datasets.vision":  # the two of input and target, joined
        transform = transform.transform
    if transform is None:
        return OwnTransform(name)
    kind = type(transform)
    takes_any = kind.__module__.startswith("torchvision.transforms")
    if not callable(transform) or (not takes_any and _takes_two(transform)):
        return OwnTransform(name, unknown="it takes an input and its target together")
    return OwnTransform(name, transform)


def _takes_two(transform: Any) -> bool:
    try:
        signature = inspect.signature(transform)
    except (TypeError, ValueError):
        return False
    try:
        signature.bind(None)
    except TypeError:
        return True
    return False
