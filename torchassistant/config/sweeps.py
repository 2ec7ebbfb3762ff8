"""Reads the file of a sweep, and finds what is wrong with it, and with the configs it makes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from torchassistant.config.diagnostics import Diagnostics
from torchassistant.config.loading import read, read_training
from torchassistant.config.spec import SweepSpec
from torchassistant.config.spec.sweep import ParameterSpec
from torchassistant.config.tree import Path as TreePath
from torchassistant.config.tree import Row, Table, value_at, walk
from torchassistant.config.validate import validate
from torchassistant.errors import ConfigError, Problem, shown_path

_MOST_CONFIGS = 50
"""Configs that are checked before a sweep begins."""
_MOST_VALUES = 10_000
"""Values of one parameter, in a grid."""


@dataclass(frozen=True, slots=True)
class ReadSweep:
    """A sweep that was read, and of which nothing is known to be wrong.

    Args:
        spec: What the file says.
        diagnostics: Of the file.
        config: The training config.
        settings: What is changed in that for every trial, each as ``PATH=VALUE``.
        data: The training config with that, as data.
        folds: The parameters that choose the fold of a split.
    """

    spec: SweepSpec
    diagnostics: Diagnostics
    config: Path
    settings: Sequence[str]
    data: Mapping[str, Any]
    folds: Sequence[str]

    def settings_of(self, values: Mapping[str, Any]) -> list[str]:
        """What is changed in the training config for a trial, given its parameters."""
        return [*self.settings, *_settings(values)]

    def seeded(self, seed: int) -> ReadSweep:
        """The same; trainings whose config has no seed get this one."""
        if "seed" in self.data:
            return self
        return replace(self, settings=[*self.settings, f"seed={seed}"])

    def attempts(self) -> Iterator[Mapping[str, Any]]:
        """Parameters whose configs are worth a check: each value, or end of a range, once."""
        first = {name: next(_ends(one)) for name, one in self.spec.parameters.items()}
        count = 1
        yield first
        for name, one in self.spec.parameters.items():
            for value in list(_ends(one))[1:]:
                if count < _MOST_CONFIGS:
                    count += 1
                    yield {**first, name: value}

    def problems(self, found_in: Callable[[list[str]], Iterable[Problem]]) -> list[Problem]:
        """The problems of the configs of trials, each told once, with its place.

        Args:
            found_in: Gives those of a config, given what is changed in it.
        """
        told: dict[tuple[str, str], Problem] = {}
        for values in self.attempts():
            for problem in found_in(self.settings_of(values)):
                placed = self._placed(problem, values)
                about = placed if problem.message.startswith("--set ") else problem
                told.setdefault((about.message, about.place.path), placed)
        return list(told.values())

    def _placed(self, problem: Problem, values: Mapping[str, Any]) -> Problem:
        """A problem of the config of a trial; where a parameter is why, at its place."""
        for name, setting in zip(values, _settings(values), strict=True):
            path: TreePath = ("parameters", name)
            if problem.place.file == f"--set {setting}":
                about = f"{problem.place.path}: " if problem.place.path else ""
                message = f"with {_shown(values[name])}: {about}{problem.message}"
                place = self.diagnostics.problem(message, path).place
                return replace(problem, message=message, place=place)
            start = f"--set {setting}: "
            if problem.message.startswith(start):
                message = problem.message.removeprefix(start)
                return self.diagnostics.problem(message, path, at_key=True)
        if problem.place.file.startswith("--set checkpoints.best="):
            return replace(problem, place=self.diagnostics.place_of(("monitor",)))
        return problem


def read_sweep(
    source: str | Path | Mapping[str, Any],
    settings: Sequence[str] = (),
    trust: Sequence[str] = (),
) -> ReadSweep:
    """Read a sweep, and find every problem that it and its config can show.

    Args:
        source: The file, or the data.
        settings: What is to be changed in the training config, each as ``PATH=VALUE``.
        trust: What ``--trust`` was given: of that, the folders that files may be included from.

    Raises:
        ConfigError: With every problem, of the sweep or of the config.
    """
    diagnostics = read(source, (), SweepSpec, variables=False, trust=trust)
    spec = validate(SweepSpec, diagnostics.tree, diagnostics)
    if spec is None:
        raise ConfigError(*diagnostics.in_order())
    for name, parameter in spec.parameters.items():
        _check_parameter(name, parameter, spec.sampler == "grid", diagnostics)
    diagnostics.raise_if_any()
    config = _config_file(spec, diagnostics)
    sweep = _with_config(spec, diagnostics, config, settings, trust)
    diagnostics.problems += sweep.problems(
        lambda settings: read_training(config, settings, trust).diagnostics.problems
    )
    diagnostics.raise_if_any()
    return sweep


def _with_config(
    spec: SweepSpec,
    diagnostics: Diagnostics,
    config: Path,
    settings: Sequence[str],
    trust: Sequence[str],
) -> ReadSweep:
    base = read(config, settings, variables=False, trust=trust)
    if base.problems:
        raise ConfigError(*base.in_order())
    own = [*settings, *_keeping_best(spec, base.tree)]
    sweep = ReadSweep(spec, diagnostics, config, own, base.tree, ())
    values = next(sweep.attempts())
    tree = read(config, sweep.settings_of(values), variables=False, trust=trust).tree
    hit = dict(_hit(tree))
    folds = []
    for name, setting in zip(values, _settings(values), strict=True):
        path = hit.get(f"--set {setting}")
        if path is None:
            continue
        if path == ("session_dir",):
            diagnostics.note("each trial has a folder of its own", ("parameters", name))
        if path[-2:] == ("spec", "fold") and value_at(tree, path[:-2]).get("group") == "splits":
            folds.append(name)
    _expect_all_to_count(values, hit, diagnostics)
    return replace(sweep, folds=folds)


def _expect_all_to_count(
    values: Mapping[str, Any], hit: Mapping[str, TreePath], diagnostics: Diagnostics
) -> None:
    """Report parameters that another one sets too."""
    settings = dict(zip(values, _settings(values), strict=True))
    last = [name for name, setting in settings.items() if f"--set {setting}" in hit]
    if not last:
        return  # something is wrong with all of them, which is told elsewhere
    for name in settings:
        others = [other for other in last if other.rpartition(".")[2] == name.rpartition(".")[2]]
        if name not in last and others:
            message = f'it has no effect, as "{others[0]}" sets the same value'
            diagnostics.note(message, ("parameters", name), at_key=True)


def _hit(tree: Any) -> Iterator[tuple[str, TreePath]]:
    """Where the values of settings stand in a config, by the setting."""
    for path, value in walk(tree):
        marks: Any = ()
        if isinstance(value, Table):
            marks = value.value_marks.items()
        elif isinstance(value, Row):
            marks = enumerate(value.marks)
        for step, mark in marks:
            if mark is not None and mark.file.startswith("--set "):
                yield mark.file, (*path, step)


def _keeping_best(spec: SweepSpec, tree: Any) -> list[str]:
    """What lets each trial keep its best state by what the sweep compares."""
    checkpoints = tree.get("checkpoints")
    given = checkpoints.get("best") if isinstance(checkpoints, dict) else None
    bests = [] if given is None else given if isinstance(given, list) else [given]
    if any(isinstance(best, dict) and best.get("monitor") == spec.monitor for best in bests):
        return []
    bests = [*bests, {"monitor": spec.monitor, "mode": spec.mode}]
    return [f"checkpoints.best={json.dumps(bests if len(bests) > 1 else bests[0])}"]


def _config_file(spec: SweepSpec, diagnostics: Diagnostics) -> Path:
    file = diagnostics.file
    path = Path(file).parent / spec.config if file else Path(spec.config)
    if not path.exists():
        message = f"there is no file {shown_path(path)}"
        raise ConfigError(diagnostics.problem(message, ("config",)))
    return path


def _settings(values: Mapping[str, Any]) -> list[str]:
    return [f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in values.items()]


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _ends(parameter: ParameterSpec) -> Iterator[Any]:
    """The values of a parameter, or the ends of its range."""
    yield from dict.fromkeys(parameter.int_ or parameter.float_ or ()) or ()
    yield from parameter.categorical or ()


def grid_values(parameter: ParameterSpec) -> list[Any]:
    """All values of a parameter, in their order."""
    if parameter.categorical is not None:
        return parameter.categorical
    if parameter.int_ is not None:
        low, high = parameter.int_
        return list(range(low, high + 1, int(parameter.step or 1)))
    values = [float(value) for value in _multiples(parameter)]
    return values or (parameter.float_ or [])[:1]


def _multiples(parameter: ParameterSpec) -> list[Decimal]:
    """The numbers of a range with a step, as they are written: 0.1, 0.2, 0.3."""
    if parameter.step is None:
        return []
    low, high, step = _exactly(parameter)
    return [low + step * index for index in range(int((high - low) / step) + 1)]


def _last(parameter: ParameterSpec) -> Decimal:
    """The last number of a range with a step."""
    low, high, step = _exactly(parameter)
    return low + (high - low) // step * step


def _exactly(parameter: ParameterSpec) -> list[Decimal]:
    """The ends of a range, and its step."""
    low, high = parameter.int_ or parameter.float_ or (0, 0)
    return [Decimal(repr(value)) for value in (low, high, parameter.step or 1)]


def _check_parameter(
    name: str, parameter: ParameterSpec, is_grid: bool, diagnostics: Diagnostics
) -> None:
    path: TreePath = ("parameters", name)
    if diagnostics.is_broken(path) or not diagnostics.is_whole(path):
        return
    given = {
        "float": parameter.float_,
        "int": parameter.int_,
        "categorical": parameter.categorical,
    }
    kinds = [kind for kind, value in given.items() if value is not None]
    if len(kinds) != 1:
        found = " and ".join(f'"{kind}"' for kind in kinds) or "none"
        message = f'one of "float", "int" and "categorical" is expected; found {found}'
        diagnostics.note(message, path)
    elif kinds == ["categorical"]:
        _check_choices(parameter, path, diagnostics)
    else:
        _check_range(parameter, kinds[0], path, is_grid, diagnostics)


def _check_choices(parameter: ParameterSpec, path: TreePath, diagnostics: Diagnostics) -> None:
    for key in ("log", "step"):
        if diagnostics.is_written((*path, key)):
            message = f'"{key}" has no effect beside "categorical"'
            diagnostics.note(message, (*path, key), at_key=True)
    seen: list[Any] = []
    for index, value in enumerate(parameter.categorical or ()):
        if value in seen:
            diagnostics.note(f"{_shown(value)} stands twice", (*path, "categorical", index))
        seen.append(value)


def _check_range(
    parameter: ParameterSpec, kind: str, path: TreePath, is_grid: bool, diagnostics: Diagnostics
) -> None:
    low, high = parameter.int_ or parameter.float_ or (0, 0)
    step, log = parameter.step, parameter.log
    if low > high:
        diagnostics.note(f"the first must not be above the second; {low} is", (*path, kind))
    elif log and low <= 0:
        message = f'with "log" numbers are above 0; the first is {low}'
        diagnostics.note(message, (*path, kind))
    elif log and step is not None:
        diagnostics.note('"step" and "log" exclude each other', (*path, "step"), at_key=True)
    elif step is not None and (step <= 0 or (kind == "int" and step != int(step))):
        words = "a whole number above 0" if kind == "int" else "a number above 0"
        diagnostics.note(f"{words} is expected; found {step:g}", (*path, "step"))
    elif step is not None and (last := _last(parameter)) != _exactly(parameter)[1]:
        message = f"steps of {step:g} from {low} do not reach {high}; the last is at {last:g}"
        diagnostics.note(message, (*path, kind))
    elif is_grid and kind == "float" and step is None and low < high:
        message = 'a grid needs single values: give a "step", or "categorical"'
        diagnostics.note(message, path)
    elif is_grid and (high - low) / (step or 1) > _MOST_VALUES:
        message = f"a grid has at most {_MOST_VALUES} values of a parameter"
        diagnostics.note(message, (*path, kind))
