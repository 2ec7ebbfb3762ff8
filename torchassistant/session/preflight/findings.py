"""What a preflight has found so far, and where in the config it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn

from torchassistant.config import Key, Path
from torchassistant.data import MultiLoader
from torchassistant.errors import (
    ConfigError,
    NoColumn,
    Place,
    Problem,
    UserCodeError,
    UserError,
    cause_of,
)
from torchassistant.frames import Frames
from torchassistant.graph import is_among
from torchassistant.ownership import is_from_users_code
from torchassistant.session.session import Session
from torchassistant.training import Pipeline, first_sentence


@dataclass(frozen=True, slots=True)
class Fed:
    """What a run is fed with: an example of it may be at fault when something is raised.

    Args:
        data: Where the frames are from.
        frames: As they were before the run.
        path: What feeds them, in the config.
    """

    data: MultiLoader
    frames: Frames
    path: Path


class Findings:
    """Warnings and problems, each with its place.

    Args:
        session: The session that is looked at.

    Attributes:
        at: Where the preflight is; what is raised is a problem there.
        entering: What the node that runs was called with, for messages.
        fed: What the current run is fed with, once that is known.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.warnings: list[Problem] = []
        self.problems: list[Problem] = []
        self.missing_outputs: list[Problem] = []
        """The warnings that models did not return what their nodes name; problems may follow."""
        self.raised: list[UserCodeError] = []
        self.at: Path = ()
        self.entering = ""
        self.fed: Fed | None = None
        self._definitions = {
            Key(d.group, d.name): ("initialize", "definitions", index)
            for index, d in enumerate(session.spec.initialize.definitions)
        }

    def warn(self, message: str, path: Path) -> None:
        """Note what is allowed, and is probably not meant."""
        self.warnings.append(Problem(message, self._place_of(path)))

    def warn_once(self, message: str, path: Path) -> Problem:
        """The same of what is met in several runs; gives the warning."""
        warning = Problem(message, self._place_of(path))
        if warning not in self.warnings:
            self.warnings.append(warning)
        return warning

    def add_problem(self, message: str, path: Path) -> None:
        """Note what cannot run."""
        self.problems.append(Problem(message, self._place_of(path)))

    def error(self, message: str, path: Path) -> ConfigError:
        """An error with one problem."""
        return ConfigError(Problem(message, self._place_of(path)))

    # Names and places

    def names(self, modules: list[nn.Module]) -> list[str]:
        """Models by name, and losses as ``losses.NAME``."""
        losses = {f"losses.{name}": loss for name, loss in self.session.losses.items()}
        named = {**self.session.models, **losses}
        return [name for name, module in named.items() if is_among(module, modules)]

    def path_of(self, key: Key) -> Path:
        """Where a definition stands; empty where there is none."""
        return self._definitions.get(key, ())

    def path_of_node(self, processor: str, node: str | None = None) -> Path:
        """Where a node of a batch processor stands."""
        path: Path = (*self.path_of(Key("batch_processors", processor)), "spec")
        spec = self.session.spec.group("batch_processors")[processor]
        for index, item in enumerate(spec.neural_graph or []):
            if item.node_name == node:
                return (*path, "neural_graph", index)
        return path

    # What is raised

    @contextmanager
    def blamed(self, pipeline: Pipeline, whole: str) -> Iterator[None]:
        """What goes wrong in here is a problem of this pipeline; the others are run anyway."""
        self.at = path_of_pipeline(pipeline)
        with self.problem_of(whole):
            yield

    @contextmanager
    def problem_of(self, whole: str) -> Iterator[None]:
        """What is raised in here is noted, as a problem of the part that ``whole`` names."""
        self.entering = ""
        try:
            with self._explained():
                yield
        except UserCodeError as error:
            cause = cause_of(error)
            if is_from_users_code(cause):
                raised = error.in_part_of(whole)
                raised.__cause__ = cause
                self.raised.append(raised)
                return
            message = f"{error.part}, in {whole}: {first_sentence(cause)}{self.entering}"
            self.add_problem(message, self.at)
        except NoColumn as error:
            self.add_problem(str(error), self.at)
        except UserError as error:
            if len(error.about) and self.path_of(Key("batch_processors", error.about[0])):
                self.at = self.path_of_node(*error.about[:2])
            for problem in error.problems:
                if problem.place == Place():
                    self.add_problem(f"{problem.message} (in {whole})", self.at)
                else:
                    self.problems.append(Problem(problem.message, problem.place))

    def attempt(self, key: Key, what: str, whole: str, act: Callable[[], object]) -> None:
        """Do something that a definition is there for; what goes wrong is its problem."""
        self.at = (*self.path_of(key), "spec")
        with self.problem_of(whole):
            try:
                act()
            except UserError:
                raise
            except Exception as error:
                raise UserCodeError(what) from error

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """What is raised over a batch is a fault of the data where an example of it stands out."""
        self.fed = None
        try:
            yield
        except (UserError, UserCodeError) as error:
            if self.fed is None:
                raise
            explained = self.fed.data.explained(error, [0], self.fed.frames, tells_batch=False)
            if explained is not error:
                self.at = self.fed.path
            raise explained from error.__cause__

    def _place_of(self, path: Path) -> Place:
        return self.session.builder.maker.place_of(path)


def path_of_pipeline(pipeline: Pipeline) -> Path:
    """Where a pipeline stands in the config."""
    return "initialize", "pipelines", pipeline.name
