"""New arguments of an optimizer that is restored: which of its parameter groups they reach."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch.optim import Optimizer

from torchassistant.assembly import Builder
from torchassistant.config import Path, Spec
from torchassistant.errors import ConfigError, Problem, UserError
from torchassistant.messages import logger_for
from torchassistant.session.changes.changes import Change

_log = logger_for(__name__)

_CYCLED = ("betas", "momentum")


class _Argument(NamedTuple):
    """An argument of an optimizer that has changed.

    Args:
        optimizer: Its name.
        key: The name of the argument.
        group: The number of the group whose argument it is; None where it is the optimizer's.
        before: Its value as it was; None where that is unknown.
        path: Where it stands.
    """

    optimizer: str
    key: str
    group: int | None
    before: Any
    path: Path


class Regrouping:
    """Brings changed arguments into the groups of the optimizers, once those are restored.

    A group that was made with a value of its own keeps it.

    Args:
        changes: What has changed in the config.
        before: The config as it was.
        builder: Has built the parts from the changed config, and they are not restored yet.
    """

    def __init__(self, changes: Sequence[Change], before: Spec, builder: Builder) -> None:
        self.builder = builder
        self.optimizers = builder.parts.optimizers
        found = _arguments(changes, before, builder)
        self.arguments = list({one[:3]: one for one in found}.values())
        self.made = {n: [dict(g) for g in o.param_groups] for n, o in self.optimizers.items()}

    def apply(self) -> None:
        """Change the groups, and log which, where there are several.

        Raises:
            ConfigError: A scheduler sets this argument, too.
        """
        for argument in self.arguments:
            groups = self.optimizers[argument.optimizer].param_groups
            if argument.key in _CYCLED and any("base_momentum" in group for group in groups):
                message = f'"{argument.key}" is set by the scheduler'
                place = self.builder.maker.place_of(argument.path)
                raise ConfigError(Problem(message, place))
        for argument in self.arguments:
            self._change(argument)
        self._rename()

    def _rename(self) -> None:
        """Give groups of the config the names that they have now."""
        for name, spec in self.builder.spec.group("optimizers").items():
            groups = self.optimizers[name].param_groups if spec.parameters else []
            for group, made in zip(groups, self.made[name], strict=False):
                group["name"] = made["name"]

    def _change(self, argument: _Argument) -> None:
        name, key = argument.optimizer, argument.key
        optimizer, made = self.optimizers[name], self.made[name]
        groups = optimizer.param_groups
        if not any(key in group for group in groups):
            _log_change(
                f'"{key}" is not an option of its parameter groups, which are unchanged', name
            )
            return
        standing = [group.get(key) for group in groups]
        wanted = [group.get(key) for group in made]
        differ = any(not _same(value, standing[0]) for value in standing)
        for index, group in enumerate(groups):
            may_be_own = differ and argument.group is None
            if may_be_own and _is_own(standing[index], wanted[index], argument, optimizer):
                continue
            if self._is_meant(argument, index):
                group[key] = wanted[index]
        if len(groups) > 1:
            _log_change(f"{key} {_in_words(groups, key, standing)}", name)

    def _is_meant(self, argument: _Argument, index: int) -> bool:
        """Whether an argument is one of a group: those of the config come first, in its order."""
        if argument.group is not None:
            return index == argument.group
        own = self.builder.spec.group("optimizers")[argument.optimizer].parameters
        return index >= len(own) or argument.key not in own[index].kwargs


def _is_own(standing: Any, wanted: Any, argument: _Argument, optimizer: Optimizer) -> bool:
    """Whether a group was given this value after it was made: then its making says nothing."""
    is_general = _same(wanted, optimizer.defaults.get(argument.key))
    return is_general and not _same(standing, argument.before)


def _in_words(groups: Sequence[Mapping[str, Any]], key: str, standing: Sequence[Any]) -> str:
    """What has become of each group, as ``is 0.2 in group 0 (was 0.1), stays 0.0 in group 1``."""
    said = []
    for index, (group, was) in enumerate(zip(groups, standing, strict=True)):
        name = f'"{group["name"]}"' if "name" in group else index
        if _same(group.get(key), was):
            said.append(f"stays {was} in group {name}")
        else:
            said.append(f"is {group[key]} in group {name} (was {was})")
    return ", ".join(said)


def _log_change(what: str, optimizer: str) -> None:
    _log.info(f'the optimizer "{optimizer}": {what}')


def _arguments(changes: Sequence[Change], before: Spec, builder: Builder) -> Iterator[_Argument]:
    for path in (change.path for change in changes):
        place = _argument_at(path)
        if place is None:
            continue
        definition = builder.spec.initialize.definitions[int(path[2])]
        if definition.group == "optimizers":
            (key, group), own = place, path[: 6 if place[1] is None else 8]
            was = _before(key, before.initialize.definitions[int(path[2])].spec, own[:5], builder)
            yield _Argument(definition.name, key, group, was, own)


def _argument_at(path: Path) -> tuple[str, int | None] | None:
    """The argument that a path leads to, and the group whose it is; None where it leads to none."""
    if path[:2] != ("initialize", "definitions"):
        return None
    if path[3:5] == ("spec", "kwargs"):
        return str(path[5]), None
    is_of_group = path[3:5] == ("spec", "parameters") and path[6:7] == ("kwargs",)
    return (str(path[7]), int(path[5])) if is_of_group else None


def _before(key: str, spec: Any, path: Path, builder: Builder) -> Any:
    """The value of an argument as it was, or was by default; None where that is unknown."""
    maker = builder.maker
    if key in spec.kwargs:
        made = maker.value(spec.kwargs[key], (*path, key), "an optimizer", "optimizers")
        return tuple(made) if isinstance(made, list) else made
    try:
        target = maker.find(spec.class_ or spec.factory_fn, path, "optimizers")
        default = inspect.signature(target).parameters[key].default
    except (UserError, KeyError, TypeError, ValueError):
        return None
    return None if default is inspect.Parameter.empty else default


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        tensors = [torch.as_tensor(value) for value in (one, other) if value is not None]
        return len(tensors) == 2 and bool(torch.equal(*(t.cpu().double() for t in tensors)))
    plain = [tuple(value) if isinstance(value, list) else value for value in (one, other)]
    return bool(plain[0] == plain[1])
