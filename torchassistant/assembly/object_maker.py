"""From ``{"class": …, "args": …, "kwargs": …}`` to the object that it describes."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from typing import Any

import torch

from torchassistant.assembly.allowlist import LIBRARIES, PRESETS, Allowlist
from torchassistant.assembly.downloads import (
    DataMaker,
    Missing,
    NotFetched,
    dataset_in,
    is_dataset,
    nothing_fetched,
    refused_to,
)
from torchassistant.assembly.importing import NotFound, find, find_constant, is_plain
from torchassistant.assembly.pretrained import (
    LeftOut,
    asking_no_hub,
    called_without_weights,
    read_as_weights,
    reads_from_hubs,
    reads_weights,
)
from torchassistant.assembly.role_checks import is_itself, role_misfit, takes_given
from torchassistant.assembly.signatures import misfits
from torchassistant.assembly.write_checks import keep_to
from torchassistant.config import (
    ATTRIBUTE,
    LITERAL,
    OF,
    ROLES,
    TENSOR,
    Path,
    dtype_of,
    form_of,
    is_object,
    nested_in,
)
from torchassistant.errors import (
    ConfigError,
    Place,
    Problem,
    UserCodeError,
    UserError,
    near,
    with_article,
)
from torchassistant.ownership import is_from_users_code

PlaceOf = Callable[[Path], Place]
"""Where in the user's files a path of the config stands."""

FirstOf = Callable[[Any], Sequence[Any]]
"""What an object inside arguments gets before its own, from what is called."""


class ObjectMaker:
    """Makes objects.

    Args:
        session: What a ``factory_fn`` gets first.
        place_of: Where things stand in the user's files.
        allowlist: Decides what may be imported.
        dry: Whether nothing may be fetched, nor written.

    While ``left_out`` is there, weights that stored state replaces are not read. ``warnings`` tells
    of what a dry run has left out.
    """

    def __init__(
        self, session: Any, place_of: PlaceOf, allowlist: Allowlist, dry: bool = False
    ) -> None:
        self.session = session
        self.place_of = place_of
        self.allowlist = allowlist
        self.dry = dry
        self.data = DataMaker(allowlist, dry)
        self.left_out: LeftOut | None = None
        self.warnings: list[Problem] = []

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
        why = role_misfit(ROLES[role], target, from_session=spec.class_ is None)
        if why is not None:
            raise self.problem(f"{what}: {why}", (*path, key))
        if is_itself(target, spec, ROLES[role]):
            return target
        args = self.arguments(spec.args, (*path, "args"), what, role, first_of)
        kwargs = self.arguments(spec.kwargs, (*path, "kwargs"), what, role, first_of)
        before = list(first) if takes_given(ROLES[role], target) else []
        if spec.class_ is None:
            before = [self.session, *(first if ROLES[role].after_session else ())]
        return self.call(target, [*before, *args], kwargs, path, what)

    def arguments(
        self, given: Any, path: Path, what: str, role: str, first_of: FirstOf | None = None
    ) -> Any:
        """Arguments, by name or by position, with the objects in them made."""
        if isinstance(given, dict):
            return {k: self.value(v, (*path, k), what, role, first_of) for k, v in given.items()}
        return [self.value(v, (*path, i), what, role, first_of) for i, v in enumerate(given)]

    def value(
        self, value: Any, path: Path, what: str, role: str, first_of: FirstOf | None = None
    ) -> Any:
        """A value of the config with the objects in it made, and what else it describes."""
        form = form_of(value)
        if form is not None:
            return self.formed(value, form, path)
        if is_object(value):
            described = next(nested_in(value, path, role))
            target = self.find(described.name, described.named_at, role)
            spec = described.spec
            args = self.arguments(spec.args, (*path, "args"), what, role, first_of)
            kwargs = self.arguments(spec.kwargs, (*path, "kwargs"), what, role, first_of)
            before: Sequence[Any] = [self.session]
            if spec.class_ is not None:
                before = () if first_of is None else first_of(target)
            return self.call(target, [*before, *args], kwargs, path, what)
        if isinstance(value, (dict, list)):
            return self.arguments(value, path, what, role, first_of)
        return value

    def formed(self, value: dict[str, Any], form: str, path: Path) -> Any:
        """A tensor, a constant, a function, an attribute, or plain data that is marked as such."""
        if form == ATTRIBUTE:
            return self.attribute(value, path)
        if form == LITERAL:
            return _as_it_stands(value[LITERAL])
        if form == TENSOR:
            dtype = dtype_of(value)
            return torch.tensor(value[TENSOR], dtype=getattr(torch, dtype) if dtype else None)
        try:
            if form == "constant":
                return find_constant(value[form], self.allowlist)
            return find(value[form], (), self.allowlist)
        except NotFound as error:
            raise self.problem(str(error), (*path, form)) from None

    def attribute(self, value: dict[str, str], path: Path) -> Any:
        """What an attribute of something that is built holds; what can be changed, as a copy.

        Raises:
            ConfigError: There is no such attribute, or it is no plain data.
            UserCodeError: It is a property of the user's, and raised.
        """
        group, _, name = value[OF].partition(".")
        built = getattr(self.session, group, {})
        if not dict.__contains__(built, name):
            raise self.problem(f'nothing is built of the name "{value[OF]}"', (*path, OF))
        found, owner = built[name], f'"{value[OF]}"'
        if group == "metrics":
            found = found.function
        for step in value[ATTRIBUTE].split("."):
            try:
                found = getattr(found, step)
            except AttributeError:
                known = [one for one in dir(found) if not one.startswith("_")]
                message = f'{owner} has no attribute "{step}"{near(step, known)}'
                raise self.problem(message, (*path, ATTRIBUTE)) from None
            except Exception as error:
                raise UserCodeError(f'the attribute "{step}" of {owner}') from error
            owner = f'"{step}" of {owner}'
        if not is_plain(found):
            message = f"{owner} is {with_article(type(found).__name__)}, and no plain data"
            raise self.problem(message, (*path, ATTRIBUTE))
        return deepcopy(found)

    def find(self, name: str, path: Path, role: str) -> Any:
        """What a dotted path or a short name means.

        Raises:
            ConfigError: It means nothing, or what it means may not be used.
        """
        try:
            return find(name, ROLES[role].search_paths, self.allowlist)
        except NotFound as error:
            raise ConfigError(Problem(str(error), self.place_of(path))) from None

    def call(
        self, target: Any, args: Sequence[Any], kwargs: dict[str, Any], path: Path, what: str
    ) -> Any:
        """Call something that the config names; its arguments are checked first."""
        name = getattr(target, "__qualname__", str(target))
        for misfit in misfits(target, (), args, kwargs):
            raise self.problem(misfit.message, (*path, *misfit.path))
        given = args, kwargs
        asks = given if self.left_out is None else asking_no_hub(target, *given)
        refused = refused_to(target, *asks, self.allowlist)
        if refused is not None:
            raise self.problem(refused, path)
        try:
            made = self.made(target, args, kwargs, path)
            keep_to(
                self.allowlist.writing.beside(getattr(self.session, "path", None)), made, target
            )
            return made
        except (Missing, NotFetched) as error:
            raise self.problem(f"{what}: {error}", path) from error
        except UserError as error:
            raise self.problem(f"{name}: {error}", path) from error
        except Exception as error:
            if (missing := _missing_in(error)) is not None:
                raise self.problem(f"{what}: {missing}", path) from error
            unread = _unread(error) if getattr(self.session, "restoring", False) is True else None
            if unread is not None:
                message = f"building {what}: {name}: {unread}; {_NOT_NEEDED}"
                raise self.problem(message, path) from error
            is_librarys = getattr(target, "__module__", "").split(".")[0] in (*LIBRARIES, *PRESETS)
            if is_librarys and not is_from_users_code(error):
                hint = _hint([*args, *kwargs.values()], str(error))
                raise self.problem(f"{name}: {_said(error)}{hint}", path) from error
            raise UserCodeError(f"building {what}") from error

    def made(self, target: Any, args: Sequence[Any], kwargs: dict[str, Any], path: Path) -> Any:
        """What a call gives; data that it needs is fetched first, and only the right weights."""
        missing: list[str] = []
        try:
            with read_as_weights(self.dry, missing), self.fetching():
                if self.left_out is not None and reads_weights(target):
                    return called_without_weights(target, args, kwargs, self.left_out)
                if self.dry and reads_from_hubs(target):
                    return called_without_weights(target, args, kwargs, LeftOut())
                if is_dataset(target) or (self.dry and dataset_in(target) is not None):
                    return self.data.make(target, args, kwargs)
                return target(*args, **kwargs)
        finally:
            for url in missing:
                message = (
                    f"the weights {url} are not in torch's cache, and are left out here: init "
                    "downloads them; check never does"
                )
                self.warnings.append(Problem(message, self.place_of(path)))

    def fetching(self) -> AbstractContextManager[None]:
        """In a dry run, code of the user's does not fetch through torchvision either."""
        return nothing_fetched() if self.dry else nullcontext()

    def problem(self, message: str, path: Path) -> ConfigError:
        """A problem with the object at a path."""
        return ConfigError(Problem(message, self.place_of(path)))


_NOT_NEEDED = (
    'the session already has what was read from it: put the file back, let the key "weights" '
    "of the model name it, which reads only when a session is created, or do not read it in a "
    "factory_fn if session.restoring is true"
)


def _hint(values: Sequence[Any], message: str) -> str:
    """How data of a config becomes what torch may have wanted, as far as its message tells."""
    if "dtype" in message or "memory_format" in message:
        for value in values:
            if isinstance(value, str) and value.startswith("torch."):
                return f'; {{"constant": "{value}"}} is what this text names'
    if "ensor" in message and any(isinstance(value, list) for value in values):
        return '; a list is not a tensor: {"tensor": [...]} makes one of it'
    return ""


def _missing_in(error: BaseException | None) -> Missing | None:
    """What was missing in a dry run, where that is what an error comes from; else None."""
    while error is not None and not isinstance(error, Missing):
        error = error.__context__ if error.__cause__ is None else error.__cause__
    return error


def _said(error: Exception) -> str:
    """What an error of a library says, with the address that it was asking."""
    said, url = str(error) or type(error).__name__, _address_in(error)
    return said if url is None else f"{said}: {url}"


def _unread(error: BaseException | None) -> str | None:
    """What could not be read, where that is what an error comes from; else None."""
    while not isinstance(error, OSError):
        if error is None:
            return None
        context = None if error.__suppress_context__ else error.__context__
        error = context if error.__cause__ is None else error.__cause__
    return _said(error)


def _address_in(error: BaseException) -> str | None:
    """What torch was downloading when it raised; None where it was not."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        url = frame.f_locals.get("url")
        if frame.f_globals.get("__name__") == "torch.hub" and isinstance(url, str):
            return url
    return None


def _as_it_stands(value: Any) -> Any:
    """Plain data, as a copy of its own."""
    if isinstance(value, dict):
        return {key: _as_it_stands(item) for key, item in value.items()}
    return [_as_it_stands(item) for item in value] if isinstance(value, list) else value
