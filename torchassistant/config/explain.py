"""Who set a value of a config: which line of which file, and what that hid."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path as FilePath
from typing import Any, NamedTuple

from torchassistant.config.blocks import Block
from torchassistant.config.config_kinds import expect_file, is_session, kind_of
from torchassistant.config.diagnostics import Diagnostics, Likeness
from torchassistant.config.includes import with_includes
from torchassistant.config.inheritance import inherit
from torchassistant.config.loading import Source, as_data, read, spec_of, split_overrides, top_keys
from torchassistant.config.merge import merge_configs
from torchassistant.config.overrides import path_at
from torchassistant.config.reader import read_file
from torchassistant.config.spec import EvaluationSpec, InferenceSpec, Spec
from torchassistant.config.text import Text
from torchassistant.config.tree import Mark, Path, Table, mark_at, path_text, value_at, walk
from torchassistant.config.validate import validate
from torchassistant.config.variables import SECTION, names_in
from torchassistant.errors import ConfigError, Place

_MOST_SHOWN = 200  # characters of a value


class Origin(NamedTuple):
    """One thing that is known of where a value comes from.

    Args:
        how: ``filled``: nobody set it. ``set``: the value stands here. ``written``: it was written
            so, by variables. ``variable``: the value of such a variable. ``hidden``: what stood
            there otherwise. ``like``: why it counts where it does not stand.
        value: What stands there.
        place: Where; None where it is not known, as of data that was made in Python.
        name: Of a variable; of ``like``, what is like another, which is the value.
    """

    how: str
    value: Any
    place: Place | None
    name: str = ""

    def sentence(self) -> str:
        """It as a clause for a person."""
        where = "" if self.place is None else f" at {self.place}"
        where = where.replace(" at --set", " with --set")
        shown = _shown(self.value)
        if self.how == "filled":
            return "no file sets it: this is what is filled in where it is left out"
        if self.how == "set":
            return f"set{where}" if where else "set in data"
        if self.how == "written":
            return f"written as {shown}{where}"
        if self.how == "like":
            return f'as "{self.name}" is like {shown}{where}'
        if self.how == "variable":
            return f'the variable "{self.name}" is {shown}{where}'
        return f"hides {shown}{where}"


class Explained(NamedTuple):
    """A value, and where it comes from.

    Args:
        path: Its path from the root.
        value: The value.
        origins: The newest first.
    """

    path: str
    value: Any
    origins: list[Origin]

    def lines(self) -> list[str]:
        """It as text."""
        head = f"{self.path} is {_shown(self.value)}"
        return [head, *(f"  {origin.sentence()}" for origin in self.origins)]


class Explanation(NamedTuple):
    """What was asked of a config, and what is wrong with how that is put together."""

    values: list[Explained]
    diagnostics: Diagnostics


def explain_path(
    source: Source, text: str, settings: Sequence[str] = (), trust: Sequence[str] = ()
) -> Explanation:
    """Explain the plain values of a config at a path, and below it.

    Of an evaluation or inference config the path is one of its own, or else one of its session's
    config, in which it is merged; where there is no session yet, of what it would merge.

    Args:
        source: The file, or the data.
        text: The path, as an override writes it: ``optimizer.kwargs.lr``.
        settings: What is changed in it, each as ``PATH=VALUE``.
        trust: What ``--trust`` was given: of that, the folders that files may be included from.

    Raises:
        ConfigError: The config cannot be read, or nothing is at the path.
    """
    block = _block_of(source, trust)
    if block is Spec:
        return _explanation(lambda: read(source, settings, trust=trust), text, block)
    own, others = split_overrides(block, settings)

    def whole() -> Diagnostics:
        return read(source, own, block, trust=trust)

    folder = whole().tree.get("session_dir")
    is_own = bool(split_overrides(block, [text])[0])
    if is_own or not isinstance(folder, str) or not is_session(FilePath(folder)):
        return _explanation(whole, text, block)
    spec = FilePath(folder) / "spec.json"
    return _explanation(lambda: _merged(spec, whole(), others), text, Spec)


def _block_of(source: Source, trust: Sequence[str]) -> type[Block]:
    """What kind of config it is, of those that are explained."""
    tree: Any = source
    if not isinstance(source, Mapping):
        if not isinstance(source, Text):
            expect_file(FilePath(source))
            source = read_file(source)
        tree = with_includes(source, trust).tree
    found = kind_of(tree)
    return found.block if found and found.block in (EvaluationSpec, InferenceSpec) else Spec


def _merged(spec: FilePath, own: Diagnostics, settings: Sequence[str]) -> Diagnostics:
    """The config of a session, with an evaluation or inference config merged in."""
    over = {"initialize": own.tree.get("initialize", {})}
    merged = read(merge_configs(read_file(spec).tree, over, own.file), settings, variables=False)
    inherit(merged)
    merged.problems += own.problems
    return merged


def _explanation(fresh: Callable[[], Diagnostics], text: str, block: type[Block]) -> Explanation:
    """Explain what is at a path.

    Args:
        fresh: Reads the config, each time anew.
        text: The path.
        block: What kind of config it is.
    """
    diagnostics = fresh()
    path = path_at(diagnostics.tree, text, top_keys(block))
    with suppress(KeyError, IndexError, TypeError):
        return Explanation(_explained(diagnostics, path), diagnostics)
    # What is wrong with the rest is for a check to tell.
    again, filled = fresh(), None
    spec = spec_of(again) if block is Spec else validate(block, again.tree, again)
    with suppress(KeyError, IndexError, TypeError):
        filled = value_at(as_data(spec) if spec else {}, path)
    if filled is None:
        raise ConfigError(f"{text}: the config says nothing there")
    return Explanation(
        [Explained(path_text(path), filled, [Origin("filled", filled, None)])], diagnostics
    )


def _explained(diagnostics: Diagnostics, path: Path) -> list[Explained]:
    """The plain values at a path, and below it.

    Args:
        diagnostics: Of a config that was read, and not yet validated.
        path: The path from the root.

    Raises:
        KeyError, IndexError, TypeError: Nothing stands there.
    """
    for likeness in diagnostics.likenesses.values():
        if path == likeness.path:
            origin = Origin("set", likeness.base, _place(likeness.mark))
            return [Explained(path_text(path), likeness.base, [origin])]
    tree = diagnostics.tree
    if path[:1] == (SECTION,):
        tree = Table({SECTION: diagnostics.variables})
    value = value_at(tree, path)
    found = [(at, item) for at, item in walk(value, path) if not isinstance(item, (dict, list))]
    return [
        Explained(
            path_text(at), item, [*_origins(tree, at), *_likeness(diagnostics.likenesses, tree, at)]
        )
        for at, item in found or [(path, value)]
    ]


def _likeness(likenesses: Mapping[Path, Likeness], tree: Any, path: Path) -> Iterator[Origin]:
    """Why a value counts that stands in something else."""
    for within, one in likenesses.items():
        if path[: len(within)] == within and _mark(tree, path) not in (None, *one.own):
            yield Origin("like", one.base, _place(one.mark), one.name)


def _origins(tree: Any, path: Path) -> Iterator[Origin]:
    earlier = list(_history(tree, path))
    value, place = value_at(tree, path), _place(_mark(tree, path))
    if not earlier or (earlier[0].how, earlier[0].place) != ("written", place):
        yield Origin("set", value, place)
    yield from earlier


def _history(tree: Any, path: Path) -> Iterator[Origin]:
    """What stood at a path before, and at what it is in."""
    for end in range(len(path), 0, -1):
        holder, step, inside = value_at(tree, path[: end - 1]), path[end - 1], path[end:]
        for past in reversed(getattr(holder, "past", {}).get(step, ())):
            if past.variables is not None:
                yield Origin("written", past.value, _place(past.mark))
                for name in names_in(past.value):
                    yield from _variable(past.variables, name)
                continue
            try:
                value = value_at(past.value, inside)
            except (KeyError, IndexError, TypeError):
                continue
            yield Origin("hidden", value, _place(_mark(past.value, inside) or past.mark))
            yield from _history(past.value, inside)


def _variable(variables: Table, name: str) -> Iterator[Origin]:
    if name in variables:
        yield Origin("variable", variables[name], _place(_mark(variables, (name,))), name)
        yield from _history(variables, (name,))


def _mark(tree: Any, path: Path) -> Mark | None:
    """The position of the value at a path, or of the nearest thing above it that has one."""
    for end in range(len(path), 0, -1):
        mark = mark_at(value_at(tree, path[: end - 1]), path[end - 1])
        if mark is not None:
            return mark
    return None


def _place(mark: Mark | None) -> Place | None:
    return None if mark is None else Place(*mark)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
