"""A sweep: begins trials, goes on with those that were cut off, and waits for all of them."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torchassistant.config import ReadSweep, as_file_name
from torchassistant.errors import (
    ConfigError,
    Interrupted,
    Place,
    Problem,
    SessionError,
    UserError,
    shown_path,
)
from torchassistant.messages import logger_for
from torchassistant.session import Draft, SessionFolder, expect_same_work
from torchassistant.sweeps.folder import SweepFolder
from torchassistant.sweeps.forks import Ended, Fork, Lifeline, in_fork
from torchassistant.sweeps.report import can_be_drawn, write_report
from torchassistant.sweeps.results import Outcome, Trial, outcome_of
from torchassistant.sweeps.study import DEATHS, FAILURE, Study, as_request, expect_optuna
from torchassistant.sweeps.training import run_trial
from torchassistant.training import StopRequest
from torchassistant.whole_files import naming

_LOGGER = logger_for(__name__)

_MOST_DEATHS, _MOST_KILLS = 3, 10
"""So often the process of a trial may die at one state of its session; and be killed there, where
the system was not short of memory, so that it may have been anybody."""
_BETWEEN_LOOKS = 0.05
"""Seconds between two looks at the processes."""
_BETWEEN_OTHERS = 1.0
"""Seconds between two looks at trials that other sweeps train."""


def sweep(
    read: ReadSweep,
    *,
    trials: int | None = None,
    jobs: int = 1,
    storage: str | None = None,
    stop: StopRequest | None = None,
    tell: Callable[[Trial, Outcome], None] = lambda trial, outcome: None,
    **allowed: Any,
) -> Outcome:
    """Train a config many times, with values that Optuna chooses.

    Called again for the same folder, it goes on where it was; two at once share it.

    Args:
        read: What is searched.
        trials: How many are begun at most, over all calls; left out: all of a grid.
        jobs: How many are trained at once, each in a process.
        storage: A database for the study, as Optuna takes it; left out: a file in the folder.
        stop: Ends all trainings after their iterations at hand.
        tell: Is called with each trial that is done, and what is known by then.
        allowed: What the config may do, as :func:`create_session` takes it.

    Raises:
        ConfigError: Something is wrong with the sweep or its config, or a package is missing.
        SessionError: The folder is of something else, or a session in it cannot go on.
        Interrupted: ``stop`` asked for it; it goes on when it is called again.
    """
    expect_optuna()
    if trials is None and read.spec.sampler != "grid":
        raise ConfigError(
            f'the sampler "{read.spec.sampler}" comes to no end by itself; --trials N says how '
            "many trials there are"
        )
    folder = SweepFolder(_folder_of(read))
    about = folder.about()
    if about is None:
        _expect_configs(read, allowed)
    folder.make()
    with naming(folder.path), folder.locked():
        study = _begun(read, folder, storage)
    read = read.seeded(study.seed)
    run = _Run(read, study, folder, trials, jobs, storage, stop or StopRequest(), tell, allowed)
    try:
        run.run()
    except (Interrupted, SessionError):
        if not run.stop.at_once:
            _told(read, study, folder)
        raise
    return _told(read, study, folder)


def _told(read: ReadSweep, study: Study, folder: SweepFolder) -> Outcome:
    """What was found; the report says it too."""
    outcome = outcome_of(read, study, folder)
    if not can_be_drawn():
        _LOGGER.info(
            'no report is written without plotly; pip install "torchassistant[sweep]" installs it'
        )
        return outcome
    write_report(folder.report, read, study, outcome)
    return replace(outcome, report=folder.report)


def _folder_of(read: ReadSweep) -> Path:
    if read.spec.folder is not None:
        return Path(read.spec.folder)
    if not read.diagnostics.file:
        raise ConfigError('the key "folder" is missing')
    return Path("sweeps", Path(read.diagnostics.file).stem)


def _begun(read: ReadSweep, folder: SweepFolder, storage: str | None) -> Study:
    """The study of a folder; a new one where it has none."""
    asked = {
        "request": dict(as_request(read.spec)),
        "config": dict(read.data),
        "storage": "journal" if storage is None else "database",
    }
    about = folder.about()
    if about is None:
        seed = read.spec.seed if read.spec.seed is not None else secrets.randbits(31)
        name = f"{as_file_name(folder.path.name)}-{secrets.token_hex(4)}"
        study = Study(folder, read.spec, seed, name, storage, is_new=True)
        study.fill_grid()
        # Whoever dies before this begins anew, with another study.
        folder.write_about({"format": 1, "study": name, "seed": seed, **asked})
        return study
    _expect_same(about, asked, read, folder)
    return Study(folder, read.spec, about["seed"], about["study"], storage)


def _expect_same(
    about: Mapping[str, Any], asked: Mapping[str, Any], read: ReadSweep, folder: SweepFolder
) -> None:
    """See that a folder is that of this sweep.

    Raises:
        SessionError: It is that of another.
    """
    shown = shown_path(folder.path)
    another = 'another "folder" begins another sweep'
    expect_same_work(folder.path, about["request"], asked["request"], another)
    if read.spec.seed is not None and about.get("seed") != read.spec.seed:
        raise SessionError(f"{shown} was begun with the seed {about.get('seed')}; {another}")
    if about.get("config") != asked["config"]:
        raise SessionError(
            f"{shown} was begun with {shown_path(read.config)} as it was then, and the file has "
            f"changed; {another}"
        )
    if about.get("storage") != asked["storage"]:
        message = (
            f"the study of {shown} is in a database: --storage URL says where"
            if about.get("storage") == "database"
            else f"the study of {shown} is in the folder itself, and takes no --storage"
        )
        raise SessionError(message)


def _expect_configs(read: ReadSweep, allowed: Mapping[str, Any]) -> None:
    """See that the configs that a sweep makes name what is there; nothing is imported here.

    Raises:
        ConfigError: With every problem.
    """
    ended = in_fork(partial(_problems, read, allowed))
    if ended.data is None:
        raise ConfigError("the config could not be checked: the process that did it died")
    problems = [Problem(p["message"], Place(**p["place"])) for p in ended.data["problems"]]
    if problems:
        raise ConfigError(*problems)


def _problems(read: ReadSweep, allowed: Mapping[str, Any]) -> dict[str, Any]:
    def found_in(settings: list[str]) -> list[Problem]:
        try:
            Draft(read.config, settings, **allowed, dry=True)
        except UserError as error:
            return error.problems
        return []

    return {"problems": [_as_data(problem) for problem in read.problems(found_in)]}


def _as_data(problem: Problem) -> dict[str, Any]:
    place = problem.place
    where = {"file": place.file, "line": place.line, "column": place.column, "path": place.path}
    return {"message": problem.message, "place": where}


@dataclass(frozen=True, slots=True)
class _Running:
    """A trial that is trained.

    Args:
        number: Of the trial.
        lock: The handle of its lock.
        fork: The process.
        memory_kills: So many processes the system had killed by then, short of memory.
    """

    number: int
    lock: int
    fork: Fork
    memory_kills: int


class _Run:
    def __init__(
        self,
        read: ReadSweep,
        study: Study,
        folder: SweepFolder,
        most: int | None,
        jobs: int,
        storage: str | None,
        stop: StopRequest,
        tell: Callable[[Trial, Outcome], None],
        allowed: Mapping[str, Any],
    ) -> None:
        self.read = read
        self.study = study
        self.folder = folder
        self.most = most
        self.jobs = jobs
        self.storage = storage
        self.stop = stop
        self.tell = tell
        self.allowed = allowed
        self.running: list[_Running] = []
        self.lifeline = Lifeline()
        self.next_start = 0.0
        self.is_ending = False

    def run(self) -> None:
        """Train until there is nothing left to train, here and elsewhere."""
        try:
            while True:
                self._start_all()
                if self.stop.signum is not None:
                    self.stop.saving = True  # they know themselves how long an iteration may take
                    self._end_all()
                    raise Interrupted(self.stop.signum, "the same command goes on from here")
                if self.running:
                    self._look()
                    time.sleep(_BETWEEN_LOOKS)
                elif self._others():
                    time.sleep(_BETWEEN_OTHERS)
                else:
                    return
        except SessionError:
            self._end_all()
            raise
        finally:
            self._kill()
            self.lifeline.close()

    def _start_all(self) -> None:
        """Begin trials, or go on with some, as long as there are any, and places for them."""
        if time.monotonic() < self.next_start:
            return
        while len(self.running) < self.jobs and self.stop.signum is None:
            if not self._start():
                # Others may leave one, but hardly at once.
                self.next_start = time.monotonic() + _BETWEEN_OTHERS
                return

    def _start(self) -> bool:
        """Begin a trial, or go on with one; False where there is none."""
        with self.folder.locked():
            claimed = self._cut_off() or self._begun()
        if claimed is None:
            return False
        number, lock, values = claimed
        foreign = [one.lock for one in self.running]
        work = partial(self._train, number, values)
        fork = Fork(work, self.lifeline, foreign)
        self.running.append(_Running(number, lock, fork, _memory_kills()))
        return True

    def _cut_off(self) -> tuple[int, int, dict[str, Any]] | None:
        """A trial that was begun by a process that is gone, locked."""
        own = [one.number for one in self.running]
        for trial in self.study.trials():
            if trial.state.name != "RUNNING" or trial.number in own:
                continue
            lock = self.folder.lock_trial(trial.number)
            if lock is None:
                continue
            # It may have been done between the two looks.
            if self.study.trial(trial.number).state.name == "RUNNING":
                return trial.number, lock, self._parameters(trial.number)
            os.close(lock)
        return None

    def _begun(self) -> tuple[int, int, dict[str, Any]] | None:
        """A new trial, locked; None where there are enough."""
        states = [trial.state.name for trial in self.study.trials()]
        begun = sum(state != "WAITING" for state in states)
        if self.most is not None and begun >= self.most:
            return None
        if self.read.spec.sampler == "grid" and begun == len(states):
            return None
        number, values = self._asked()
        lock = self.folder.lock_trial(number)
        assert lock is not None, "nobody else begins trials meanwhile"
        return number, lock, values

    def _asked(self) -> tuple[int, dict[str, Any]]:
        """Begin another trial."""
        number, values = self._by_sampler(Study.asked)
        return number, values

    def _parameters(self, number: int) -> dict[str, Any]:
        """The parameters of a trial that was begun."""
        if self.study.is_asked(number):
            return self.study.parameters(number)
        found: dict[str, Any] = self._by_sampler(lambda study: study.parameters(number))
        return found

    def _by_sampler(self, ask: Callable[[Study], Any]) -> Any:
        """Ask for parameters; in a process of its own, where the sampler computes with torch."""
        if self.read.spec.sampler != "gp":
            return ask(self.study)
        ended = in_fork(lambda: ask(self._study_of_a_fork()))
        if ended.data is None:
            raise SessionError(f"the sampler ended with status {ended.status}")
        return ended.data

    def _others(self) -> bool:
        """Whether another sweep trains something, which may yet be left to this one."""
        return any(trial.state.name == "RUNNING" for trial in self.study.trials())

    def _train(self, number: int, values: Mapping[str, Any]) -> dict[str, Any]:
        """In the forked process."""
        path = self.folder.session(number)
        study = self._study_of_a_fork()
        return run_trial(self.read, study, number, values, path, self.stop, self.allowed)

    def _study_of_a_fork(self) -> Study:
        """The study, opened anew: connections to a database are not for two processes."""
        return Study(
            self.folder,
            self.read.spec,
            self.study.seed,
            self.study.study.study_name,
            self.storage,
        )

    def _look(self) -> None:
        """See which trials are done."""
        for one in list(self.running):
            ended = one.fork.ended()
            if ended is not None:
                self.running.remove(one)
                self.next_start = 0.0
                try:
                    self._note(one, ended)
                finally:
                    os.close(one.lock)

    def _note(self, one: _Running, ended: Ended) -> None:
        """What comes of a trial whose process has ended."""
        number = one.number
        data = {} if ended.data is None else ended.data
        if self.is_ending and self.study.trial(number).state.name == "RUNNING":
            return  # it goes on later
        if "problems" in data:
            raise SessionError(*(f"trial {number}: {problem}" for problem in data["problems"]))
        if "interrupted" in data:
            # Somebody has sent a signal to this process alone: it goes on.
            _LOGGER.warning("trial %d was stopped by a signal; it goes on", number)
            return
        if self.study.trial(number).state.name == "RUNNING":
            self._note_death(one, ended)
        else:
            self._tell_of(number)

    def _tell_of(self, number: int) -> None:
        outcome = outcome_of(self.read, self.study, self.folder)
        (found,) = [one for one in outcome.trials if one.number == number]
        self.tell(found, outcome)

    def _note_death(self, one: _Running, ended: Ended) -> None:
        """Its process was killed: it goes on, unless it dies there again and again."""
        number = one.number
        trial = self.study.handle(number)
        at = (SessionFolder(self.folder.session(number)).storage.names() or [""])[-1]
        deaths = [*trial.user_attrs.get(DEATHS, []), at]
        trial.set_user_attr(DEATHS, deaths)
        how = f"ended with status {ended.status}"
        if ended.status < 0:
            how = f"was ended by {signal.Signals(-ended.status).name}"
        is_anybodys = ended.status == -signal.SIGKILL and _memory_kills() == one.memory_kills
        most = _MOST_KILLS if is_anybodys else _MOST_DEATHS
        if deaths[-most:].count(at) < most:
            _LOGGER.warning("the process of trial %d %s; the trial goes on", number, how)
            return
        message = f"its process {how}, {most} times at the same state"
        trial.set_user_attr(FAILURE, {"kind": "killed", "message": message})
        self.study.end(number, "FAIL")
        self._tell_of(number)

    def _end_all(self) -> None:
        """Ask all trainings to end after their iterations, and wait for that."""
        self.is_ending = True
        for one in self.running:
            one.fork.ask(signal.SIGTERM)
        while self.running:
            self._look()
            time.sleep(_BETWEEN_LOOKS)

    def _kill(self) -> None:
        for one in self.running:
            one.fork.ask(signal.SIGTERM)
            one.fork.ask(signal.SIGKILL)
        for one in self.running:
            one.fork.ended(wait=True)
            os.close(one.lock)


def _memory_kills() -> int:
    """How many processes the system has killed as it was short of memory; 0 where nobody knows."""
    try:
        counts = Path("/proc/vmstat").read_text(encoding="ascii").split()
    except OSError:
        return 0
    return int(counts[counts.index("oom_kill") + 1]) if "oom_kill" in counts else 0
