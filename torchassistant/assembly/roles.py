"""What each object of a config is there for: its home by short name, and what it has to be."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType, UnionType
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from torchassistant.assembly.object_kinds import (
    ADAPTER,
    BATCH_PROCESSOR,
    COLLATOR,
    DATASET,
    INPUT_CONVERTER,
    METRIC,
    MODULE,
    OPTIMIZER,
    OUTPUT_DEVICE,
    PREPROCESSOR,
    SCHEDULER,
    STOP_CONDITION,
    TRANSFORM,
    called_by,
    kind_of,
)
from torchassistant.compat.python import is_protocol
from torchassistant.config.search_paths import HOMES
from torchassistant.errors import with_article

Fits = Callable[[type], bool]


@dataclass(frozen=True, slots=True, eq=False)
class Role:
    """What an object is there for.

    Args:
        noun: What it is called, with its article.
        homes: Modules that a short name is looked for in, in this order.
        fits: Whether instances of a class can play the role.
        kinds: Of what the libraries and our catalogue have, these kinds play it.
        given: The names of the arguments that a class gets before those of the config.
        after_session: Those that a ``factory_fn`` gets between the session and the config's.
        or_itself: Whether a function that needs arguments, and is given none, is the object.
        functions: Whether a function of a library may be called to make one.
        takes: Whether a class takes the arguments that are ``given``.
    """

    noun: str
    homes: tuple[str, ...] = ()
    fits: Fits = lambda made: True
    kinds: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    after_session: tuple[str, ...] = ()
    or_itself: bool = False
    functions: bool = False
    takes: Callable[[Any], bool] = lambda target: True

    def given_to(self, target: Any) -> tuple[str, ...]:
        """The names of the arguments that a class gets before those of the config."""
        return self.given if self.takes(target) else ()

    def misfit(
        self, target: Any, from_session: bool = False, is_called: bool = False
    ) -> str | None:
        """Why what was found cannot play the role, or None where it can, or may.

        Args:
            target: The class or function.
            from_session: Whether it is called as a ``factory_fn``.
            is_called: Whether it is known to be called, and not to be the object itself.
        """
        inmost = called_by(target)
        if inspect.isclass(inmost) and not self.fits(inmost):
            return f"is no {self.noun}"
        kind = kind_of(inmost)
        if kind is not None and kind not in self.kinds:
            return f"is {with_article(kind)}, and no {self.noun.partition(' (')[0]}"
        if inspect.isclass(inmost):
            return None
        is_itself = self.or_itself and not (is_called or from_session)
        if inspect.isbuiltin(inmost) and not (self.functions or is_itself):
            return f"is no {self.noun}, and no function that returns one"
        if not inspect.isroutine(inmost) and self._is_one(type(inmost)):
            return "is such an object already, and no class or function that makes one"
        made = None if is_itself else returned_by(inmost)
        if made and not any(_may_be(one, self.fits) for one in made):
            names = " or ".join("None" if one is type(None) else one.__name__ for one in made)
            return f"returns {names}, and that is no {self.noun}"
        return None

    def _is_one(self, made: type) -> bool:
        """Whether instances of a class play the role, and cannot be what makes such instances."""
        return self.fits(made) and not self.fits(FunctionType)


def returned_by(function: Any) -> list[type]:
    """The classes of which a function says that it returns one; empty where it does not say."""
    if not inspect.isroutine(function):
        function = type(function).__call__
    try:
        function = inspect.unwrap(function)
        hint = function.__annotations__["return"]
        # Alone, because what the other hints name may be known to type checkers only.
        alone = type("", (), {"__annotations__": {"": hint}})
        return _classes_in(typing.get_type_hints(alone, function.__globals__)[""])
    except Exception:  # there may be no hint; and those of the user may name anything
        return []


def _classes_in(hint: Any) -> list[type]:
    """The classes of a hint; empty where one of its alternatives may be anything."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, UnionType):
        alternatives = [_classes_in(one) for one in typing.get_args(hint)]
        return [one for many in alternatives for one in many] if all(alternatives) else []
    hint = origin or hint
    return [hint] if inspect.isclass(hint) and hint is not Any else []


def _may_be(made: type, fits: Fits) -> bool:
    """Whether a function that is said to return this may return something that fits."""
    is_open = made is object or inspect.isabstract(made) or is_protocol(made)
    return is_open or fits(made)


def _has(*names: str) -> Fits:
    return lambda made: all(_offers(made, name) for name in names)


def _offers(made: type, name: str) -> bool:
    """Whether instances of a class have, or may have, a method."""
    # Not hasattr: that would find what the class itself has, and each can be called.
    if any(name in vars(base) for base in made.__mro__):
        return True
    if name.startswith("__"):
        return False
    # It may be set on the instance, or be handed on to something else.
    for base in made.__mro__:
        maker = getattr(vars(base).get("__init__"), "__code__", None)
        if maker is not None and name in maker.co_names:
            return True
        if "__getattr__" in vars(base) and base is not nn.Module:
            return True
    return False


def _is_a(*classes: type) -> Fits:
    return lambda made: issubclass(made, classes)


def _is_dataset(made: type) -> bool:
    return _offers(made, "__getitem__") or _offers(made, "__iter__")


def _is_metric(made: type) -> bool:
    return _has("update", "compute", "reset")(made) or _has("__call__")(made)


def takes_optimizer_first(target: Any) -> bool:
    """Whether this is a scheduler that is built over an optimizer."""
    if not (inspect.isclass(target) and issubclass(target, LRScheduler)):
        return False
    return "optimizer" in [*inspect.signature(target).parameters][:1]


_FRAMES = (ADAPTER, BATCH_PROCESSOR, MODULE)
"""These go from a frame, or from columns, to others."""

ROLES: dict[str, Role] = {
    "datasets": Role("dataset (it has no __getitem__)", fits=_is_dataset, kinds=(DATASET,)),
    "preprocessors": Role(
        "preprocessor (it has no process)",
        HOMES["preprocessors"],
        _has("process"),
        (PREPROCESSOR,),
    ),
    "collators": Role(
        "collator (it cannot be called)",
        HOMES["collators"],
        _has("__call__"),
        (COLLATOR, MODULE),
        or_itself=True,
    ),
    "augment": Role(
        "transform (it cannot be called)",
        fits=_has("__call__"),
        kinds=(MODULE, TRANSFORM),
        or_itself=True,
    ),
    "loader_factories": Role("argument of a loader", functions=True),
    "models": Role("torch.nn.Module", fits=_is_a(nn.Module), kinds=(MODULE,)),
    "optimizers": Role(
        "torch.optim.Optimizer",
        HOMES["optimizers"],
        _is_a(Optimizer),
        (OPTIMIZER,),
        given=("the parameters",),
    ),
    "lr_scheduler": Role(
        "learning rate scheduler",
        HOMES["lr_scheduler"],
        _is_a(LRScheduler),
        (SCHEDULER,),
        given=("the optimizer",),
        after_session=("the optimizer",),
        takes=lambda target: takes_optimizer_first(target) or not inspect.isclass(target),
    ),
    "losses": Role(
        "loss (it cannot be called)",
        HOMES["losses"],
        _has("__call__"),
        (METRIC, MODULE),
        or_itself=True,
    ),
    "metrics": Role(
        "metric (it has no update, compute and reset)",
        HOMES["metrics"],
        _is_metric,
        (METRIC, MODULE),
        or_itself=True,
    ),
    "batch_processors": Role(
        "batch processor (it cannot be called)",
        HOMES["batch_processors"],
        _has("__call__"),
        _FRAMES,
    ),
    "backward_hooks": Role("hook (it cannot be called)", fits=_has("__call__"), given=("a name",)),
    "forward_hooks": Role("hook (it cannot be called)", fits=_has("__call__"), given=("a name",)),
    "input_adapter": Role(
        "input adapter (it cannot be called)",
        HOMES["input_adapter"],
        _has("__call__"),
        _FRAMES,
    ),
    "output_adapter": Role(
        "output adapter (it cannot be called)",
        HOMES["output_adapter"],
        _has("__call__"),
        _FRAMES,
    ),
    "transform": Role(
        "transform (it cannot be called)",
        HOMES["transform"],
        _has("__call__"),
        (MODULE, TRANSFORM),
        given=("the session",),
        or_itself=True,
    ),
    "stop_condition": Role(
        "stop condition (it cannot be called)",
        HOMES["stop_condition"],
        _has("__call__"),
        (STOP_CONDITION,),
    ),
    "postprocessor": Role(
        "postprocessor (it cannot be called)", fits=_has("__call__"), kinds=_FRAMES
    ),
    "post_processor": Role(
        "post-processor (it cannot be called)",
        fits=_has("__call__"),
        kinds=_FRAMES,
        given=("the session",),
    ),
    "output_device": Role(
        "output device (it cannot be called)",
        HOMES["output_device"],
        _has("__call__"),
        (OUTPUT_DEVICE,),
    ),
    "input_converter": Role(
        "input converter (it cannot be called)",
        HOMES["input_converter"],
        _has("__call__"),
        (INPUT_CONVERTER, MODULE),
    ),
}
ANYTHING = Role("argument", functions=True)


def is_itself(target: Any, spec: Any, role: Role) -> bool:
    """Whether a function, or an object that can be called, is the object and not what makes it."""
    bare = spec.class_ and not spec.args and not spec.kwargs
    inmost = called_by(target)
    if not (role.or_itself and bare) or inspect.isclass(inmost):
        return False
    if role.given or not inspect.isroutine(inmost):
        return True
    try:
        inspect.signature(target).bind()
    except TypeError:
        return True
    except ValueError:
        return inspect.isbuiltin(target)
    return False
