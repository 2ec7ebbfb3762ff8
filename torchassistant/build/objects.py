"""From ``{"class": …, "args": …, "kwargs": …}`` to the object that it describes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from torchassistant.build.importing import HOMES, NotFound, find
from torchassistant.config.spec import ObjectSpec
from torchassistant.config.tree import Path
from torchassistant.config.validate import validate
from torchassistant.errors import ConfigError, Place, Problem, UserCodeError, UserError

LIBRARIES = ("torch", "torchvision", "torchmetrics", "torchassistant")

PlaceOf = Callable[[Path], Place]
"""Where in the user's files a path of the config stands."""


class ObjectMaker:
    """Makes objects.

    Args:
        session: What a ``factory_fn`` gets first.
        place_of: Where things stand in the user's files.
    """

    def __init__(self, session: Any, place_of: PlaceOf) -> None:
        self.session = session
        self.place_of = place_of

    def make(
        self,
        spec: Any,
        path: Path,
        what: str,
        home: str = "",
        first: Sequence[Any] = (),
        first_of: Callable[[Any], Sequence[Any]] | None = None,
        after_session: Sequence[Any] = (),
        or_itself: bool = False,
    ) -> Any:
        """Make one object, and the objects inside its arguments before it.

        Args:
            spec: Has ``class_`` or ``factory_fn``, ``args`` and ``kwargs``.
            path: Where it stands in the config.
            what: What it is in messages, as ``the model "encoder"``.
            home: The group of homes that a short name is looked for in.
            first: Arguments that come before those of the config, for a class.
            first_of: The same for objects inside the arguments, from what is called.
            after_session: Arguments of a ``factory_fn`` between the session and the config's.
            or_itself: A function that cannot be called without arguments, and is given none, is
                the object itself.

        Raises:
            ConfigError: There is no such thing, or its arguments do not fit.
            UserCodeError: The user's code raised.
        """
        key = "class" if spec.class_ else "factory_fn"
        target = self.find(spec.class_ or spec.factory_fn, (*path, key), home)
        if or_itself and spec.class_ and not spec.args and not spec.kwargs and _needs_more(target):
            return target
        args = self.value(spec.args, (*path, "args"), what, home, first_of)
        kwargs = self.value(spec.kwargs, (*path, "kwargs"), what, home, first_of)
        before = list(first) if spec.class_ else [self.session, *after_session]
        return self.call(target, [*before, *args], kwargs, path, what)

    def value(
        self,
        value: Any,
        path: Path,
        what: str,
        home: str = "",
        first_of: Callable[[Any], Sequence[Any]] | None = None,
    ) -> Any:
        """A value of the config with the objects in it made."""
        if isinstance(value, dict):
            if isinstance(value.get("class") or value.get("factory_fn"), str):
                return self.nested(value, path, what, home, first_of)
            return {k: self.value(v, (*path, k), what, home, first_of) for k, v in value.items()}
        if isinstance(value, list):
            return [
                self.value(item, (*path, index), what, home, first_of)
                for index, item in enumerate(value)
            ]
        return value

    def nested(
        self,
        value: dict[str, Any],
        path: Path,
        what: str,
        home: str,
        first_of: Callable[[Any], Sequence[Any]] | None,
    ) -> Any:
        spec = self.checked(value, path)
        first: Sequence[Any] = ()
        if first_of is not None and spec.class_:
            first = first_of(self.find(spec.class_, (*path, "class"), home))
        return self.make(spec, path, what, home, first, first_of)

    def checked(self, value: dict[str, Any], path: Path) -> ObjectSpec:
        try:
            return validate(ObjectSpec, value)
        except ConfigError as error:
            problems = [Problem(p.message, self.place_of(path)) for p in error.problems]
            raise ConfigError(*problems) from None

    def find(self, name: str, path: Path, home: str = "") -> Any:
        """What a dotted path or a short name means.

        Raises:
            ConfigError: It means nothing.
        """
        try:
            return find(name, HOMES.get(home, ()))
        except NotFound as error:
            raise ConfigError(Problem(str(error), self.place_of(path))) from None

    def call(
        self, target: Any, args: Sequence[Any], kwargs: dict[str, Any], path: Path, what: str
    ) -> Any:
        """Call something that the config names; its arguments are checked first."""
        name = getattr(target, "__qualname__", str(target))
        try:
            signature = inspect.signature(target)
        except (TypeError, ValueError):
            signature = None
        if signature is not None:
            try:
                signature.bind(*args, **kwargs)
            except TypeError as error:
                raise self.problem(f"{name}: {error}", path) from None
        try:
            return target(*args, **kwargs)
        except UserError as error:
            raise self.problem(f"{name}: {error}", path) from error
        except Exception as error:
            if getattr(target, "__module__", "").split(".")[0] in LIBRARIES:
                raise self.problem(f"{name}: {error}", path) from error
            raise UserCodeError(f"building {what}") from error

    def problem(self, message: str, path: Path) -> ConfigError:
        """A problem with the object at a path."""
        return ConfigError(Problem(message, self.place_of(path)))


def _needs_more(target: Any) -> bool:
    """Whether this is a function that cannot be called without arguments."""
    if not inspect.isfunction(target):
        return False
    try:
        inspect.signature(target).bind()
    except TypeError:
        return True
    return False
