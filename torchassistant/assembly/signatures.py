"""Whether arguments fit what is to be called, before it is called."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from torchassistant.assembly.handing_on import handed_on
from torchassistant.assembly.role_checks import returned_by
from torchassistant.config import Path
from torchassistant.errors import listing, near, nearest
from torchassistant.metrics import Accuracy

BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Misfit(NamedTuple):
    """An argument that does not fit: a sentence, and where it stands below the object.

    Args:
        message: What is wrong.
        path: From the object, as ``("kwargs", "lr")``.
        at_key: Whether the key is at fault, and not its value.
    """

    message: str
    path: Path = ()
    at_key: bool = False


def misfits(
    target: Any, given: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Iterator[Misfit]:
    """Every argument that the signature lacks, every one that is missing, or given twice.

    Args:
        target: What is to be called. Where Python cannot tell its signature, nothing is said.
        given: The names of arguments that come before those of the config.
        args: Those of the config, by position.
        kwargs: Those of the config, by name.
    """
    if args or kwargs:
        target = handing_on_to(target)
    parameters = parameters_of(target)
    if parameters is None:
        return
    name = name_for(target)
    kinds = {parameter.kind for parameter in parameters}
    places = [p.name for p in parameters if p.kind in BY_POSITION]
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        yield from _too_many(name, places, given, args)
    taken = dict(zip(places, [*given, *("args" for _ in args)], strict=False))
    names = [p.name for p in parameters if p.kind in BY_NAME]
    behind = behind_of(target)
    unknown = [key for key in kwargs if key not in names and not behind.may_take(key)]
    for key in kwargs:
        if key in taken and key in names:
            source = 'in "args"' if taken[key] == "args" else f"as {taken[key]}, by the program"
            yield Misfit(f'{name} gets "{key}" twice: here, and {source}', ("kwargs", key), True)
        elif key in unknown:
            hint = near(key, [n for n in (*names, *behind.names) if n not in taken])
            yield Misfit(f'{name} has no argument "{key}"{hint}', ("kwargs", key), True)
    missing = [
        p.name
        for p in parameters
        if p.kind in (*BY_POSITION, *BY_NAME)
        and p.default is inspect.Parameter.empty
        and p.name not in taken
        and not (p.name in kwargs and p.kind in BY_NAME)
    ]
    # A misspelt argument is reported already.
    meant = {nearest(key, missing) for key in unknown}
    missing = [parameter for parameter in missing if parameter not in meant]
    if missing:
        what = "the argument" if len(missing) == 1 else "the arguments"
        yield Misfit(f"{name} needs {what} {listing(missing)}")


def handing_on_to(target: Any) -> Any:
    """What gets the arguments in the end: torchmetrics' Accuracy those of ours, if it gets some."""
    if target is not Accuracy:
        return target
    import torchmetrics

    return torchmetrics.Accuracy


class Behind(NamedTuple):
    """What takes the keyword arguments that a signature does not name.

    Args:
        names: What it is known to take.
        more: Whether it may take more.
    """

    names: Sequence[str]
    more: bool

    def may_take(self, key: str) -> bool:
        """Whether it may take a key; one that is nearly a known one is taken for misspelt."""
        return key in self.names or (self.more and nearest(key, self.names) is None)


def behind_of(target: Any) -> Behind:
    """What is behind ``**kwargs``: known of the metrics and models of the libraries."""
    if all(p.kind != inspect.Parameter.VAR_KEYWORD for p in parameters_of(target) or ()):
        return Behind((), False)
    home = str(getattr(target, "__module__", ""))
    if inspect.isclass(target) and home.startswith("torchmetrics."):
        more = any(base.__module__.startswith(_HANDING_ON) for base in target.__mro__)
        return Behind((*_METRICS_TAKE, *names_of(target)), more)
    if home.startswith("torchvision.models."):
        handed, made = handed_on(target), returned_by(target)
        if handed is not None:
            return Behind((*_MODELS_TAKE, *handed), False)
        if made:
            return Behind((*_MODELS_TAKE, *names_of(target), *names_of(made[0])), True)
    return Behind((), True)


_METRICS_TAKE = (
    "compute_on_cpu",
    "compute_with_cache",
    "dist_sync_fn",
    "dist_sync_on_step",
    "distributed_available_fn",
    "process_group",
    "sync_on_compute",
)
_HANDING_ON = (
    "torchmetrics.audio.pit",
    "torchmetrics.classification.group_fairness",
    "torchmetrics.collections",
    "torchmetrics.wrappers",
)
"""Here they go to other metrics, to a function of the user, or nowhere."""

_MODELS_TAKE = ("pretrained", "pretrained_backbone")
"""Earlier names of ``weights`` and ``weights_backbone``."""


def names_of(target: Any) -> list[str]:
    """The arguments that can be given by name; of a class, also those of its base classes."""
    makers = [c for c in target.__mro__ if "__init__" in vars(c)] if inspect.isclass(target) else []
    parameters = [p for one in (target, *makers) for p in parameters_of(one) or ()]
    return [p.name for p in parameters if p.kind in BY_NAME]


def parameters_of(target: Any) -> list[inspect.Parameter] | None:
    """The parameters of what is called; None where Python cannot tell them."""
    try:
        return list(inspect.signature(target).parameters.values())
    except Exception:  # a class of the user may answer with anything
        return None


def name_for(target: Any) -> str:
    """What is called, as a person would name it."""
    while isinstance(target, functools.partial):
        target = target.func
    return str(getattr(target, "__qualname__", None) or type(target).__qualname__)


def _too_many(
    name: str, places: Sequence[str], given: Sequence[str], args: Sequence[Any]
) -> Iterator[Misfit]:
    room = len(places) - len(given)
    if room < 0:
        yield Misfit(f"{name} has no argument for {given[len(places)]}, which it would be given")
    elif len(args) > room:
        count = "no argument" if not room else f"{room} argument{'s' if room > 1 else ''}"
        message = f"{name} takes {count} by position, found {len(args)}"
        yield Misfit(message, ("args", room))
