"""What each object of a config is there for: its home by short name, and what it has to be."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

TORCHMETRICS = "torchmetrics.*"

Fits = Callable[[type], bool]


@dataclass(frozen=True, slots=True)
class Role:
    """What an object is there for.

    Args:
        noun: What it is called, with its article.
        homes: Modules that a short name is looked for in, in this order.
        fits: Whether instances of a class can play the role.
        given: The names of the arguments that a class gets before those of the config.
        after_session: Those that a ``factory_fn`` gets between the session and the config's.
        or_itself: Whether a function that needs arguments, and is given none, is the object.
        functions: Whether a function of a library may be called to make one.
        takes: Whether a class takes the arguments that are ``given``.
    """

    noun: str
    homes: tuple[str, ...] = ()
    fits: Fits = lambda made: True
    given: tuple[str, ...] = ()
    after_session: tuple[str, ...] = ()
    or_itself: bool = False
    functions: bool = False
    takes: Callable[[Any], bool] = lambda target: True

    def given_to(self, target: Any) -> tuple[str, ...]:
        """The names of the arguments that a class gets before those of the config."""
        return self.given if self.takes(target) else ()

    def misfit(self, target: Any, from_session: bool = False) -> str | None:
        """Why what was found cannot play the role, or None where it can, or may.

        Args:
            target: The class or function.
            from_session: Whether it is called as a ``factory_fn``.
        """
        if inspect.isclass(target):
            return None if from_session or self.fits(target) else f"is no {self.noun}"
        if inspect.isbuiltin(target) and not (self.functions or self.or_itself):
            return f"is no {self.noun}, and no function that returns one"
        made = _return_type(target)
        if inspect.isclass(made) and not self.or_itself and not _may_be(made, self.fits):
            return f"returns {made.__name__}, and that is no {self.noun}"
        return None


def _return_type(function: Any) -> Any:
    try:
        return typing.get_type_hints(function).get("return")
    except Exception:  # hints are the user's, and may name anything
        return None


def _may_be(made: type, fits: Fits) -> bool:
    """Whether a function that is said to return this may return something that fits."""
    return made is object or made is type(None) or inspect.isabstract(made) or fits(made)


def _has(*names: str) -> Fits:
    return lambda made: all(callable(getattr(made, name, None)) for name in names)


def _is_a(*classes: type) -> Fits:
    return lambda made: issubclass(made, classes)


def _is_dataset(made: type) -> bool:
    return hasattr(made, "__getitem__") or hasattr(made, "__iter__")


def _is_metric(made: type) -> bool:
    return _has("update", "compute", "reset")(made) or _has("__call__")(made)


def takes_optimizer_first(target: Any) -> bool:
    """Whether this is a scheduler that is built over an optimizer."""
    if not (inspect.isclass(target) and issubclass(target, LRScheduler)):
        return False
    return "optimizer" in [*inspect.signature(target).parameters][:1]


ROLES: dict[str, Role] = {
    "datasets": Role("dataset (it has no __getitem__)", fits=_is_dataset),
    "preprocessors": Role(
        "preprocessor (it has no process)",
        ("torchassistant.preprocessors",),
        _has("process"),
    ),
    "collators": Role(
        "collator (it cannot be called)",
        ("torchassistant.collators",),
        _has("__call__"),
        or_itself=True,
    ),
    "loader_factories": Role("argument of a loader", functions=True),
    "models": Role("torch.nn.Module", fits=_is_a(nn.Module)),
    "optimizers": Role(
        "torch.optim.Optimizer", ("torch.optim",), _is_a(Optimizer), given=("the parameters",)
    ),
    "lr_scheduler": Role(
        "learning rate scheduler",
        ("torch.optim.lr_scheduler",),
        _is_a(LRScheduler),
        given=("the optimizer",),
        after_session=("the optimizer",),
        takes=lambda target: takes_optimizer_first(target) or not inspect.isclass(target),
    ),
    "losses": Role(
        "loss (it cannot be called)",
        ("torch.nn", "torchassistant.losses"),
        _has("__call__"),
        or_itself=True,
    ),
    "metrics": Role(
        "metric (it has no update, compute and reset)",
        ("torchassistant.metrics", TORCHMETRICS),
        _is_metric,
        or_itself=True,
    ),
    "batch_processors": Role(
        "batch processor (it cannot be called)",
        ("torchassistant.batch_processors",),
        _has("__call__"),
    ),
    "backward_hooks": Role("function that returns a hook", given=("a name",)),
    "forward_hooks": Role("function that returns a hook", given=("a name",)),
    "input_adapter": Role(
        "input adapter (it cannot be called)", ("torchassistant.adapters",), _has("__call__")
    ),
    "output_adapter": Role(
        "output adapter (it cannot be called)",
        ("torchassistant.output_adapters",),
        _has("__call__"),
    ),
    "transform": Role(
        "transform (it cannot be called)",
        ("torchassistant.transforms",),
        _has("__call__"),
        given=("the session",),
        or_itself=True,
    ),
    "stop_condition": Role(
        "stop condition (it cannot be called)",
        ("torchassistant.stop_conditions",),
        _has("__call__"),
    ),
    "postprocessor": Role("postprocessor (it cannot be called)", fits=_has("__call__")),
    "post_processor": Role(
        "post-processor (it cannot be called)", fits=_has("__call__"), given=("the session",)
    ),
    "output_device": Role(
        "output device (it cannot be called)",
        ("torchassistant.output_devices",),
        _has("__call__"),
    ),
    "input_converter": Role(
        "input converter (it cannot be called)",
        ("torchassistant.input_converters",),
        _has("__call__"),
    ),
}
ANYTHING = Role("argument", functions=True)


def is_itself(target: Any, spec: Any, role: Role) -> bool:
    """Whether a function is the object itself, and not what makes it."""
    bare = spec.class_ and not spec.args and not spec.kwargs
    if not (role.or_itself and bare) or inspect.isclass(target):
        return False
    if role.given:
        return True
    try:
        inspect.signature(target).bind()
    except TypeError:
        return True
    except ValueError:
        return inspect.isbuiltin(target)
    return False
