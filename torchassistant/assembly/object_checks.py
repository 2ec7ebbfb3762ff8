"""Checks what a config names in Python, without calling any of it."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader

from torchassistant.assembly.allowlist import Allowlist
from torchassistant.assembly.closure_checks import report_closures
from torchassistant.assembly.downloads import absent, refused_to
from torchassistant.assembly.importing import (
    ImportFailure,
    NotFound,
    find,
    find_constant,
    meant_by,
    read_only,
)
from torchassistant.assembly.inputs_by_keyword import report_unfit_inputs
from torchassistant.assembly.placement import Places
from torchassistant.assembly.pretrained import asking_no_hub
from torchassistant.assembly.role_checks import given_to, is_itself, role_misfit, takes_it_first
from torchassistant.assembly.signatures import Misfit, misfits
from torchassistant.assembly.untrained import report_untrained
from torchassistant.assembly.write_checks import misplaced
from torchassistant.config import (
    Described,
    Diagnostics,
    Key,
    ObjectSpec,
    OptimizerSpec,
    Path,
    Role,
    Spec,
    is_object,
    objects_in,
    role_named,
)
from torchassistant.errors import Problem, UserCodeError
from torchassistant.writing import Writing

ONCE = ("weights", "state", "change_fn")
"""The roles of what is called when a session is created, and never again."""

LOADER_GIVEN = ("dataset", "collate_fn", "generator")
"""Arguments of a ``DataLoader`` that the loader factory gives itself."""


def survey(
    spec: Spec,
    diagnostics: Diagnostics,
    allowlist: Allowlist,
    wanted: Collection[Key] | None = None,
    is_new: bool = True,
) -> None:
    """Find what cannot be imported, may not be, is of the wrong kind, or gets wrong arguments.

    Args:
        spec: The config; what is broken in it is left alone.
        diagnostics: Gets the problems.
        allowlist: Decides what may be imported.
        wanted: Only these definitions, and no stages; None is everything.
        is_new: Whether the session is new, so that what only creates it is called.

    Raises:
        UserCodeError: A module of the user raised while it was imported; what was found besides
            is among the diagnostics.
    """
    for path, kwargs in _loaders(spec, wanted):
        for key in LOADER_GIVEN:
            if key in kwargs:
                message = f'"{key}" of the DataLoader is given by the loader factory'
                diagnostics.note(message, (*path, "kwargs", key), at_key=True)
        own = [key for key in kwargs if key not in LOADER_GIVEN]
        for misfit in misfits(DataLoader, LOADER_GIVEN[:1], (), dict.fromkeys(own)):
            diagnostics.note(misfit.message, (*path, *misfit.path), misfit.at_key)
    # Last, because it ends where a module of the user raised.
    objects = (one for one in described_in(spec, wanted) if is_new or one.role not in ONCE)
    survey_objects(objects, diagnostics, allowlist, spec.session_dir, is_new)
    report_closures(spec, diagnostics, allowlist)
    report_untrained(spec, diagnostics, allowlist)
    report_unfit_inputs(spec, diagnostics, allowlist)


def survey_objects(
    objects: Iterable[Described],
    diagnostics: Diagnostics,
    allowlist: Allowlist,
    session_dir: str | None,
    is_new: bool = True,
) -> None:
    """The same for some objects.

    Args:
        objects: What the config describes.
        diagnostics: Gets the problems.
        allowlist: Decides what may be imported.
        session_dir: Where the session is.
        is_new: Whether it is new, so that what weights ask for is read.

    Raises:
        UserCodeError: A module of the user raised while it was imported.
    """
    writing = allowlist.writing.beside(session_dir)
    first: UserCodeError | None = None
    failed: set[str] = set()
    places = Places(allowlist)
    for described in objects:
        if diagnostics.is_broken(described.named_at) or diagnostics.is_broken(described.path):
            continue
        # Importing once is enough: a module that failed would run again for each of its objects.
        if any(described.name.startswith(f"{module}.") for module in failed):
            _look_at_arguments(described, [read_only(described.name)], diagnostics)
            continue
        try:
            _look_at(described, diagnostics, allowlist, places, writing, is_new)
        except UserCodeError as error:
            if isinstance(error, ImportFailure):
                failed.add(error.module)
                _look_at_arguments(described, [read_only(described.name)], diagnostics)
            if first is None:
                first = error
            else:
                diagnostics.note(f"{error.part}: {_in_short(error.__cause__)}", described.named_at)
    if first is not None:
        raise first


def _in_short(error: BaseException | None) -> str:
    return "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]


def described_in(spec: Spec, wanted: Collection[Key] | None = None) -> Iterator[Described]:
    """Every object that a config describes: of all of it, or of some definitions."""
    for index, definition in enumerate(spec.initialize.definitions):
        if wanted is None or Key(definition.group, definition.name) in wanted:
            path: Path = ("initialize", "definitions", index, "spec")
            yield from objects_in(definition.spec, path, definition.group)
    if wanted is None:
        debug = spec.initialize.debug_pipelines
        pipelines = spec.initialize.pipelines
        yield from objects_in(pipelines, ("initialize", "pipelines"), "")
        yield from objects_in(debug, ("initialize", "debug_pipelines"), "")
        yield from objects_in(spec.train.stages, ("train", "stages"), "")
        yield from objects_in(spec.inference, ("inference",), "")


def _loaders(spec: Spec, wanted: Collection[Key] | None) -> Iterator[tuple[Path, dict[str, Any]]]:
    for index, definition in enumerate(spec.initialize.definitions):
        key = Key(definition.group, definition.name)
        if definition.group == "loader_factories" and (wanted is None or key in wanted):
            yield ("initialize", "definitions", index, "spec"), definition.spec.kwargs


def _look_at(
    described: Described,
    diagnostics: Diagnostics,
    allowlist: Allowlist,
    places: Places,
    writing: Writing,
    is_new: bool,
) -> None:
    role = role_named(described.role)
    spec = described.spec
    try:
        if described.kind == "constant":
            find_constant(described.name, allowlist)
            return
        target = find(described.name, role.search_paths, allowlist)
    except NotFound as error:
        diagnostics.broke(str(error), described.named_at)
        _look_at_arguments(
            described, [meant_by(path, allowlist) for path in error.meant], diagnostics
        )
        return
    itself = not described.nested and is_itself(target, spec, role)
    is_called = not itself and described.kind == "object"
    why = places.misfit(described, target, is_called)
    if why is None and not described.nested:
        why = role_misfit(role, target, from_session=spec.class_ is None, is_called=not itself)
    if why is not None:
        diagnostics.broke(f'"{described.name}" {why}', described.named_at)
        return
    if not is_called:
        return
    _look_at_arguments(described, [target], diagnostics)
    _look_at_data(described, target, diagnostics, allowlist, is_new)
    unwritable = misplaced(target, spec.args, spec.kwargs, writing)
    if unwritable is not None:
        diagnostics.note(unwritable.message, (*described.path, *unwritable.path))
    if isinstance(spec, OptimizerSpec):
        _look_at_groups(described, spec, target, diagnostics)


def _look_at_groups(
    described: Described, spec: OptimizerSpec, target: Any, diagnostics: Diagnostics
) -> None:
    """Report arguments of parameter groups that the optimizer does not take."""
    given = _given(described, role_named(described.role), target)
    for index, group in enumerate(spec.parameters):
        for misfit in misfits(target, given, (), {**spec.kwargs, **group.kwargs}):
            _, key, *_ = (*misfit.path, "", "")
            if key in group.kwargs and key not in spec.kwargs:
                path = (*described.path, "parameters", index, *misfit.path)
                diagnostics.note(misfit.message, path, misfit.at_key)


def _look_at_data(
    described: Described,
    target: Any,
    diagnostics: Diagnostics,
    allowlist: Allowlist,
    is_new: bool,
) -> None:
    """Report what would be fetched though nobody pinned it, or to where nothing may be written."""
    given = _as_called(described, target)
    # A session has its weights already.
    args, kwargs = given if is_new else asking_no_hub(target, *given)
    refused = refused_to(target, args, kwargs, allowlist)
    if refused is None:
        missing = absent(target, args, kwargs, allowlist)
        refused = None if missing is None else missing.refused
    if refused is not None:
        diagnostics.note(refused, described.path)


def missing_data(spec: Spec, diagnostics: Diagnostics, allowlist: Allowlist) -> list[Problem]:
    """Data that is not there, as far as that can be seen without reading anything.

    Args:
        spec: The config; what is named in it has been imported.
        diagnostics: Knows where things stand.
        allowlist: Decides what may be imported.
    """
    found = []
    for described in described_in(spec):
        if described.kind != "object" or not described.name:
            continue
        target = find(described.name, role_named(described.role).search_paths, allowlist)
        missing = absent(target, *_as_called(described, target), allowlist)
        if missing is not None:
            found.append(diagnostics.problem(missing.message, described.path))
    return found


def _as_called(described: Described, target: Any) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a call, with something that can be called for each object among them."""
    spec, given = described.spec, _given(described, role_named(described.role), target)
    args = [*given, *(_stand_in if is_object(arg) else arg for arg in spec.args)]
    return args, {k: _stand_in if is_object(arg) else arg for k, arg in spec.kwargs.items()}


def _stand_in() -> None:
    """Stands for an object that is made later."""


def _look_at_arguments(
    described: Described, targets: Iterable[Any], diagnostics: Diagnostics
) -> None:
    """Report arguments that do not fit.

    Args:
        described: What they are for.
        targets: What may be called, the most likely first; what may fit one of them is no problem.
            None for something of which nobody knows what it takes.
        diagnostics: Gets the problems.
    """
    found = [list(_misfits(described, target)) if target is not None else [] for target in targets]
    others = [{misfit.path for misfit in misfits} for misfits in found]
    for misfit in found[0] if found else ():
        if all(misfit.path in paths for paths in others):
            diagnostics.note(misfit.message, (*described.path, *misfit.path), misfit.at_key)


def _misfits(described: Described, target: Any) -> Iterator[Misfit]:
    spec, role = described.spec, role_named(described.role)
    is_called = described.nested or not is_itself(target, spec, role)
    if described.kind in ("function", "constant") or not is_called:
        return
    found = misfits(target, _given(described, role, target), spec.args, spec.kwargs)
    if not described.nested and is_itself(target, ObjectSpec(class_=spec.class_), role):
        # With settings a function makes the object; who writes them often means a partial call.
        found = (_told_of_settings(misfit) for misfit in found)
    yield from found
    if _listens(described, target) and spec.monitor is None:
        yield Misfit('this scheduler monitors a result, so it needs "monitor", a display name')


def _told_of_settings(misfit: Misfit) -> Misfit:
    if misfit.path:
        return misfit
    hint = (
        "; with arguments, a function is called once to make what is then called. To give it "
        "settings, write a class that keeps them"
    )
    return misfit._replace(message=misfit.message + hint)


def _listens(described: Described, target: Any) -> bool:
    is_scheduler = described.role == "lr_scheduler" and not described.nested
    return is_scheduler and inspect.isclass(target) and issubclass(target, ReduceLROnPlateau)


def _given(described: Described, role: Role, target: Any) -> tuple[str, ...]:
    """The names of the arguments that come before those of the config."""
    if described.spec.class_ is None:
        return ("the session", *(() if described.nested else role.after_session))
    if not described.nested:
        return given_to(role, target)
    return role.given if role.only_as and takes_it_first(role, target) else ()
