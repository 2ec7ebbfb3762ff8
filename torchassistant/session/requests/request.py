"""What an evaluation or inference config asks of a session, before anything is built."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from torchassistant.assembly import Allowlist, needed_for, survey_objects
from torchassistant.config import (
    DEFINITIONS,
    GROUPS,
    PIPELINES,
    Block,
    Diagnostics,
    EvaluationSpec,
    InferenceSpec,
    Key,
    Spec,
    StageEvaluatorSpec,
    as_data,
    check_blocks,
    inherit,
    merge_configs,
    objects_in,
    place_of,
    read,
    references_of_evaluator,
    spec_of,
    split_overrides,
)
from torchassistant.config import Path as TreePath
from torchassistant.config import validate as validated
from torchassistant.errors import (
    ConfigError,
    Place,
    Problem,
    SessionError,
    UserCodeError,
    near,
    nearest,
)
from torchassistant.messages import logger_for
from torchassistant.parallel import Processes
from torchassistant.session.building.build_plan import BuildPlan
from torchassistant.session.building.survey import surveyed
from torchassistant.session.changes.allowed_differences import made_anew, may_differ_from
from torchassistant.session.changes.changes import judged_code
from torchassistant.session.checkpoints.state_schema import stored_spec
from torchassistant.session.checkpoints.storage import Checkpoint, Unusable
from torchassistant.session.folder.environment import circumstances, same_versions
from torchassistant.session.folder.session_folder import SessionFolder
from torchassistant.session.folder.wrong_folder import near_session, why_no_session
from torchassistant.session.session import Session
from torchassistant.session.state.state import restore, stored_definitions
from torchassistant.session.state.stateful_parts import described

_log = logger_for(__name__)

T = TypeVar("T")
Config = TypeVar("Config", EvaluationSpec, InferenceSpec)


class Request(Generic[Config]):
    """An evaluation or inference config, and the config of the session with it merged in.

    ``checkpoint`` is the one that is used, verified; ``merged`` is both configs in one.

    Args:
        source: The config, or a session folder that is to be taken as it is.
        block: Which of the two kinds it is.
        settings: What is to be changed in it or in the session's config, as ``PATH=VALUE``.
        allowlist: What the person at the command line allows.
        checkpoint: ``last``, ``best`` or a step.
        processes: Those that do what it asks for; left out: this one alone.

    Raises:
        ConfigError: The config cannot be read, or does not say which session it is for.
        SessionError: There is no such session.
        UserCodeError: A module of the user raised while it was imported.
    """

    def __init__(
        self,
        source: str | Path,
        block: type[Config],
        settings: Sequence[str],
        allowlist: Allowlist,
        checkpoint: str,
        processes: Processes | None = None,
    ) -> None:
        self.processes = processes or Processes()
        self.allowlist = allowlist
        self.has_new_code = False
        own, others = split_overrides(block, settings)
        is_folder = Path(source).is_dir()
        if not os.path.lexists(source) and near_session(Path(source)) is not None:
            raise SessionError(why_no_session(Path(source)))
        first = _first_checkpoint(source, checkpoint, block) if is_folder else None
        kept = {} if first is None else _kept_in(first)
        read_from = {**kept, "session_dir": str(source)} if is_folder else source
        self.own = read(read_from, own, block, trust=allowlist.modules)
        config = validated(block, self.own.tree, self.own)
        if config is None or not self.own.is_whole(("session_dir",)):
            raise ConfigError(*self.own.in_order())
        for warning in self.own.warnings:
            _log.warning(str(warning))
        self.config: Config = config
        self.others = others
        self._look_at_objects()
        self.folder = SessionFolder(config.session_dir)
        self.which = checkpoint
        self.source = "" if is_folder else str(source)
        self.checkpoint, self.merged = self._chosen(first)

    def _chosen(self, first: Checkpoint | None = None) -> tuple[Checkpoint, Diagnostics]:
        """A checkpoint, and the config that it was saved with, with the one at hand merged in."""
        try:
            checkpoint = first or self.folder.verified(self.which, with_history=False)
        except SessionError as error:
            if not self.source:
                raise
            place = self.own.place_of(("session_dir",))
            problems = (Problem(problem.message, place) for problem in error.problems)
            raise SessionError(*self.own.in_order(), *problems) from None
        tree = self.folder.read_spec(checkpoint).tree
        if self.config.initialize:
            over = {"initialize": copy.deepcopy(self.own.tree["initialize"])}
            tree = merge_configs(tree, over, self.source)
        merged = read(tree, self.others, variables=False)
        inherit(merged)
        return checkpoint, merged

    def first_usable(self, opened: Callable[[], T]) -> T:
        """What is opened with the first checkpoint that can be put back.

        Raises:
            Unusable: There is none; or something that has changed since may be why.
        """
        while True:
            try:
                return opened()
            except Unusable as error:
                self._pass_over(error)

    def _pass_over(self, error: Unusable) -> None:
        """Take another checkpoint, as the one at hand turned out to be unusable."""
        then = self.checkpoint.state("state")["environment"]
        is_as_it_was = same_versions(then, circumstances(torch.device("cpu")))
        if self.config.initialize or self.others or self.has_new_code or not is_as_it_was:
            raise error
        self.folder.checkpoints.pass_over(self.checkpoint, error)
        self.checkpoint, self.merged = self._chosen()

    def _look_at_objects(self) -> None:
        check_blocks(self.config, self.own)
        try:
            objects = objects_in(self.config, (), "")
            survey_objects(objects, self.own, self.allowlist, self.config.session_dir)
        except UserCodeError as error:
            error.problems = self.own.in_order()
            raise

    def spec(
        self,
        used: Callable[[Spec], Collection[str]],
        wanted: Callable[[Spec, str], Iterable[Key]],
        scored: bool = True,
        besides: Callable[[Spec], Iterable[Key]] = lambda spec: (),
    ) -> Spec:
        """The whole config, checked as far as it is to be used.

        Args:
            used: The pipelines that are to be run.
            wanted: What one of them needs, by its name.
            scored: Whether losses and metrics are computed.
            besides: What is needed beside the pipelines.

        Raises:
            ConfigError: With every problem of both configs.
        """

        def looked_at(spec: Spec) -> list[str]:
            return _meant(spec, used(spec), self._is_own)

        def needed(spec: Spec) -> Collection[Key]:
            keys = [key for name in looked_at(spec) for key in wanted(spec, name)]
            keys += besides(spec)
            if not spec.initialize.pipelines.keys() >= {*used(spec)}:
                # Nobody knows what is needed; what is written here is meant to be used.
                keys += [
                    Key(definition.group, definition.name)
                    for index, definition in enumerate(spec.initialize.definitions)
                    if self._is_own((*DEFINITIONS, index))
                ]
            return needed_for(spec, keys)

        self.merged.problems[:0] = self.own.problems
        spec = spec_of(self.merged, looked_at, scored)
        keys = None if spec is None else needed(spec)
        return surveyed(spec, self.merged, self.allowlist, keys)

    def _is_own(self, path: TreePath) -> bool:
        """Whether something of the whole config is written in the config at hand."""
        return self.merged.place_of(path).file in self.own.files

    def open(
        self,
        spec: Spec,
        wanted: Iterable[Key],
        pipelines: Collection[str],
        with_data: bool = True,
        scored: bool = True,
    ) -> Session:
        """The session with the weights of the checkpoint; only what is wanted of it is built.

        Where somebody trains the session meanwhile, the checkpoint may be gone: then the weights
        are those of the newest one.

        Args:
            spec: The whole config.
            wanted: The definitions that are built, with what they need.
            pipelines: The names of the pipelines that are built.
            with_data: Whether these get their data.
            scored: Whether they get their losses and metrics.

        Raises:
            ConfigError: A preprocessor is given other arguments, and cannot take them.
            Unusable: What is stored does not fit what the session is made of; see
                :meth:`first_usable`.
        """
        fitted = self.folder.fitted(self.checkpoint)
        plan = BuildPlan(
            spec,
            self.place_of,
            fitted,
            self.allowlist,
            self.config.device,
            stored_definitions(self.checkpoint, spec, fitted),
            list(wanted),
            pipelines,
            with_data,
            scored,
            processes=self.processes,
        )
        session = Session(self.folder, plan)
        self._expect_no_refitting(session)
        self.has_new_code = bool(self._changes(session))
        self._restore(session)
        self._warn_of_changes(session)
        return session

    def _restore(self, session: Session) -> None:
        while True:
            try:
                may_differ = may_differ_from(self.checkpoint, session.spec)
                anew = made_anew(self.checkpoint, session.spec)
                restore(self.checkpoint, session, may_differ, weights_only=True, made_anew=anew)
                return
            except FileNotFoundError:
                if self.folder.storage.has(self.checkpoint.name):
                    raise
                self.checkpoint = self.folder.verified(with_history=False)

    def _expect_no_refitting(self, session: Session) -> None:
        """Attributes that were stored when a preprocessor was fitted stand over its arguments."""
        then, now = stored_spec(self.checkpoint.manifest), as_data(session.spec)
        for index, one in enumerate(session.spec.initialize.definitions):
            is_fitted = one.group == "preprocessors" and one.spec.fit is not None
            if not is_fitted or one.name not in session.preprocessors:
                continue
            key = f"preprocessors/{one.name}"
            was, known = described(then, key, True), session.preprocessors[one.name]
            if was is None or was == described(now, key, True) or hasattr(known, "state_dict"):
                continue
            message = (
                f'the preprocessor "{one.name}" was fitted when the session was created, and all '
                "of its attributes are restored, so other arguments change nothing: define another "
                "preprocessor, or give its class a state_dict of its fitted state"
            )
            raise ConfigError(self.merged.problem(message, (*DEFINITIONS, index, "spec")))

    def _warn_of_changes(self, session: Session) -> None:
        """Warn of code that is not what the weights were trained with."""
        for problem in self._changes(session):
            line = problem.message.partition(", and")[0]
            _log.warning(f"{line} since this was trained")

    def _changes(self, session: Session) -> list[Problem]:
        return judged_code(self.checkpoint.code(), session.code, accepted=False)[1]

    def place_of(self, path: TreePath) -> Place:
        """Where a path stands: in the config at hand, or else in the session's."""
        is_own = bool(path) and path[0] in self.own.tree and path[0] != "initialize"
        return place_of((self.own if is_own else self.merged).tree, path)

    def expect_pipeline(self, spec: Spec, name: str, path: TreePath) -> None:
        """Note it where a config names a pipeline that is not there."""
        known = spec.initialize.pipelines
        if name not in known:
            message = f'no pipeline is named "{name}"{near(name, known)}'
            self.merged.problems.append(self.own.problem(message, path))

    def expect_loader(self, spec: Spec, name: str) -> None:
        """Note it where a config names a loader factory that is not there."""
        known = spec.group("loader_factories")
        if name not in known:
            message = f'no loader factory is named "{name}"{near(name, known)}'
            self.merged.problems.append(self.own.problem(message, ("loader_factory",)))

    def expect_evaluators(self, spec: Spec, entries: Sequence[StageEvaluatorSpec]) -> None:
        """Note it where an entry of ``evaluators`` names what is not there, or stands twice."""
        names: set[str] = set()
        for index, entry in enumerate(entries):
            path: TreePath = ("evaluators", index)
            for where, group, name in references_of_evaluator(entry):
                known = spec.group(group)
                if name not in known:
                    message = f'no {GROUPS[group].noun} is named "{name}"{near(name, known)}'
                    problem = self.own.problem(message, path + where)
                    self.merged.problems.append(problem)
            if entry.evaluator in names:
                message = f'"{entry.evaluator}" is listed twice'
                self.merged.problems.append(self.own.problem(message, (*path, "evaluator")))
            names.add(entry.evaluator)

    def expect_steps(self, steps: object, names: Collection[str]) -> None:
        """Note it where ``eval_steps`` names a pipeline that is not evaluated."""
        for name in steps if isinstance(steps, dict) else ():
            if name not in names:
                message = f'"{name}" is not evaluated{near(name, names)}'
                problem = self.own.problem(message, ("eval_steps", name), at_key=True)
                self.merged.problems.append(problem)


def _first_checkpoint(source: str | Path, which: str, block: type[Block]) -> Checkpoint | None:
    """The checkpoint of a session folder whose config says how predictions are made."""
    folder = SessionFolder(source)
    if block is not InferenceSpec or not folder.is_there:
        return None
    return folder.verified(which, with_history=False)


def _kept_in(checkpoint: Checkpoint) -> dict[str, Any]:
    """What the config of a session says of predictions."""
    kept = stored_spec(checkpoint.manifest).get("inference")
    return kept if isinstance(kept, dict) else {}


def _meant(spec: Spec, names: Collection[str], is_own: Callable[[TreePath], bool]) -> list[str]:
    """The pipelines that names mean; where one is unknown, also all that are written here."""
    there = spec.initialize.pipelines
    found = [name if name in there else nearest(name, there) for name in names]
    if not there.keys() >= {*names}:
        found += [name for name in there if is_own((*PIPELINES, name))]
    return [name for name in dict.fromkeys(found) if name is not None]


def on_device(device: str | None) -> list[str]:
    """What sets the device of an evaluation or inference config, as ``PATH=VALUE``."""
    return [] if device is None else [f"device={json.dumps(device)}"]
