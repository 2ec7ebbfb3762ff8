"""From ``{"class": …, "args": …, "kwargs": …}`` to the object that it describes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torchassistant.build.arguments import misfits
from torchassistant.build.importing import NotFound, find
from torchassistant.build.roles import ROLES, is_itself
from torchassistant.build.trust import LIBRARIES, Trust
from torchassistant.config.objects import is_object, nested_in
from torchassistant.config.tree import Path
from torchassistant.errors import ConfigError, Place, Problem, UserCodeError, UserError

PlaceOf = Callable[[Path], Place]
"""Where in the user's files a path of the config stands."""

FirstOf = Callable[[Any], Sequence[Any]]
"""What an object inside arguments gets before its own, from what is called."""


class ObjectMaker:
    """Makes objects.

    Args:
        session: What a ``factory_fn`` gets first.
        place_of: Where things stand in the user's files.
        trust: Decides what may be imported.
    """

    def __init__(self, session: Any, place_of: PlaceOf, trust: Trust) -> None:
        self.session = session
        self.place_of = place_of
        self.trust = trust

    def make(
        self,
        spec: Any,
        path: Path,
        what: str,
        role: str,
        first: Sequence[Any] = (),
        first_of: FirstOf | None = None,
    ) -> Any:
        """Make one object, and the objects inside its arguments before it.

        Args:
            spec: Has ``class_`` or ``factory_fn``, ``args`` and ``kwargs``.
            path: Where it stands in the config.
            what: What it is in messages, as ``the model "encoder"``.
            role: What it is there for; a key of ``ROLES``.
            first: The arguments that the role gives before those of the config.
            first_of: The same for objects inside the arguments, from what is called.

        Raises:
            ConfigError: There is no such thing, it is of another kind, or its arguments do not fit.
            UserCodeError: The user's code raised.
        """
        key = "class" if spec.class_ else "factory_fn"
        target = self.find(spec.class_ or spec.factory_fn, (*path, key), role)
        why = ROLES[role].misfit(target, from_session=spec.class_ is None)
        if why is not None:
            raise self.problem(f"{what}: {why}", (*path, key))
        if is_itself(target, spec, ROLES[role]):
            return target
        args = self.value(spec.args, (*path, "args"), what, role, first_of)
        kwargs = self.value(spec.kwargs, (*path, "kwargs"), what, role, first_of)
        before = list(first) if ROLES[role].takes(target) else []
        if spec.class_ is None:
            before = [self.session, *(first if ROLES[role].after_session else ())]
        return self.call(target, [*before, *args], kwargs, path, what)

    def value(
        self, value: Any, path: Path, what: str, role: str, first_of: FirstOf | None = None
    ) -> Any:
        """A value of the config with the objects in it made."""
        if is_object(value):
            described = next(nested_in(value, path, role))
            target = self.find(described.name, described.named_at, role)
            spec = described.spec
            args = self.value(spec.args, (*path, "args"), what, role, first_of)
            kwargs = self.value(spec.kwargs, (*path, "kwargs"), what, role, first_of)
            before: Sequence[Any] = [self.session]
            if spec.class_ is not None:
                before = () if first_of is None else first_of(target)
            return self.call(target, [*before, *args], kwargs, path, what)
        if isinstance(value, dict):
            return {k: self.value(v, (*path, k), what, role, first_of) for k, v in value.items()}
        if isinstance(value, list):
            return [
                self.value(item, (*path, index), what, role, first_of)
                for index, item in enumerate(value)
            ]
        return value

    def find(self, name: str, path: Path, role: str) -> Any:
        """What a dotted path or a short name means.

        Raises:
            ConfigError: It means nothing, or what it means may not be used.
        """
        try:
            return find(name, ROLES[role].homes, self.trust)
        except NotFound as error:
            raise ConfigError(Problem(str(error), self.place_of(path))) from None

    def call(
        self, target: Any, args: Sequence[Any], kwargs: dict[str, Any], path: Path, what: str
    ) -> Any:
        """Call something that the config names; its arguments are checked first."""
        name = getattr(target, "__qualname__", str(target))
        for misfit in misfits(target, (), args, kwargs):
            raise self.problem(misfit.message, (*path, *misfit.path))
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
