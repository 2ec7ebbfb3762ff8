"""The key ``like``: what a definition, a pipeline or a stage does not say, it has from another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from torchassistant.config.block_fields import fields_of, fields_of_spec, missing_keys, placeholder
from torchassistant.config.blocks import LIKE
from torchassistant.config.diagnostics import Diagnostics, Likeness
from torchassistant.config.groups import GROUPS
from torchassistant.config.merge import merge_configs
from torchassistant.config.misfit_messages import shown_value
from torchassistant.config.spec import DEFINITIONS, DebugPipelineSpec, PipelineSpec, StageSpec
from torchassistant.config.text import measure
from torchassistant.config.toposort import cycle_text, cycles, postorder
from torchassistant.config.tree import (
    UNREADABLE,
    Path,
    Row,
    Table,
    as_tree,
    items_of,
    mark_at,
    marks_in,
    path_text,
    value_at,
)
from torchassistant.errors import ConfigError, Problem, near, nearest, with_article

MAX_INHERITED = 1024 * 1024
"""Characters that are taken over, over the whole config."""

_SIZE_OF_A_VALUE = 8
"""What a value counts beside its characters: it needs memory too."""
_DEFINITIONS: Path = ("initialize", "definitions")
_STAGES: Path = ("train", "stages")
_FIELDS = {
    "pipeline": fields_of(PipelineSpec),
    "debug pipeline": fields_of(DebugPipelineSpec),
    "stage": fields_of(StageSpec),
}
MOST_GUESSES = 100
"""Comparing names is dear; where so many are wrong, nobody is helped by one guess more."""
_INPUTS, _PORT = "input_factories", "input_alias"


class _Thing(NamedTuple):
    """Something that may be like another of its kind.

    Args:
        kind: What it is; of a definition the group, as it is written.
        name: As it is written; None where it has none.
        path: Where it stands.
        table: What it says.
        key: Under which all stands that may be taken over; empty where that is the whole.
    """

    kind: Any
    name: Any
    path: Path
    table: Table
    key: str = ""

    @property
    def within(self) -> Path:
        """Where all stands that may be taken over."""
        return (*self.path, self.key) if self.key else self.path

    @property
    def content(self) -> Any:
        """All that may be taken over."""
        return self.table.get(self.key, Table()) if self.key else self.table

    @property
    def noun(self) -> str:
        """What it is called."""
        if not self.key:
            return str(self.kind)
        return "definition" if _is_no_group(self.kind) else GROUPS[self.kind].noun

    @property
    def called(self) -> str:
        """What messages call it."""
        return self.name if isinstance(self.name, str) else path_text(self.path)

    def may_be_like(self, other: _Thing) -> bool:
        """Whether both are of one kind; a definition of a group that is none may be of any."""
        if self is other or self.key != other.key:
            return False
        any_group = self.key and (_is_no_group(self.kind) or _is_no_group(other.kind))
        return bool(any_group or self.kind == other.kind)


def inherit(diagnostics: Diagnostics) -> None:
    """Give what is ``like`` another what it does not say itself, in place.

    A definition takes over what its ``spec`` lacks, a pipeline or a stage the keys that it lacks,
    by the rules of merging; the input factories of a pipeline are laid over those that feed the
    same ports. ``like`` is taken away: behind this, all is written out.

    Args:
        diagnostics: Holds the tree of a training config, its aliases replaced; gets the problems,
            and what is like what.
    """
    things = list(_things(diagnostics.tree))
    if any(LIKE in thing.table for thing in things):
        _Inheritance(things, diagnostics).run()


def inherited(tree: Any, path: Path) -> Any:
    """A copy of what something has at a path from what it is like; None where it has nothing.

    Args:
        tree: As it is written.
        path: A path, below something that may be like another, in no list.
    """
    things = _Things(list(_things(tree)))
    here = next((thing for thing in things.all if path[: len(thing.within)] == thing.within), None)
    inside = () if here is None else path[len(here.within) :]
    if any(isinstance(step, int) for step in inside):
        return None  # the items of two lists need not go together
    seen: list[Path] = []
    while here is not None and here.path not in seen and isinstance(here.content, Table):
        seen.append(here.path)
        here = things.named(here.table.get(LIKE, here.content.get(LIKE)), here)
        try:
            return as_tree(value_at(here.content, inside)) if here else None
        except (KeyError, IndexError, TypeError):
            pass
    return None


class _Things:
    """All that may be like another, by name."""

    def __init__(self, things: list[_Thing]) -> None:
        self.all = things
        self.by_name: dict[str, list[_Thing]] = {}
        for thing in things:
            if isinstance(thing.name, str):
                self.by_name.setdefault(thing.name, []).append(thing)

    def named(self, name: Any, thing: _Thing) -> _Thing | None:
        """What a thing is like, by its name."""
        found = self.by_name.get(name, ()) if isinstance(name, str) else ()
        return next((one for one in found if thing.may_be_like(one)), None)


class _Inheritance:
    def __init__(self, things: list[_Thing], diagnostics: Diagnostics) -> None:
        self.things = _Things(things)
        self.diagnostics = diagnostics
        self.spent = 0
        self.guesses = 0

    def run(self) -> None:
        asking = {thing.path: thing for thing in self.things.all if LIKE in thing.table}
        bases = {path: self.base(thing) for path, thing in asking.items()}
        steps = {path: [base.path] for path, base in bases.items() if base is not None}
        for cycle in cycles(steps):
            text = cycle_text([asking[path].called for path in cycle])
            self.note(f"this is like itself: {text}", asking[cycle[0]])
            bases.update(dict.fromkeys(cycle))
        lost: set[Path] = set()  # what is like nobody knows what
        for path in postorder(asking, lambda path: steps.get(path, [])):
            thing, base = asking.get(path), bases.get(path)
            if thing is None or thing.table.pop(LIKE) is None:
                continue
            is_whole = base is not None and base.path not in lost
            if base is None or not self.take(thing, base, is_whole) or not is_whole:
                lost.add(path)
        for path in lost:
            self.give_up(asking[path])

    def note(self, message: str, thing: _Thing) -> None:
        self.diagnostics.note(message, (*thing.path, LIKE))

    def base(self, thing: _Thing) -> _Thing | None:
        """What a thing is like; None where that cannot be said, which is reported."""
        name = thing.table[LIKE]
        if name is None or name is UNREADABLE:
            return None
        if not isinstance(name, str) or not name:
            self.note(
                f"expected the name of {with_article(thing.noun)}, found {shown_value(name)}", thing
            )
            return None
        found = self.things.named(name, thing)
        if found is not None or name == thing.name:
            return found or thing
        self.guesses += 1
        known: list[str] = []
        if self.guesses <= MOST_GUESSES:
            others = [one.name for one in self.things.all if thing.may_be_like(one)]
            known = [other for other in others if isinstance(other, str)]
            if thing.key and len(known) < len(others):
                return None  # it may be one whose name cannot be read
        self.note(f'no {thing.noun} is named "{name}"{near(name, known)}', thing)
        return self.things.named(nearest(name, known), thing)

    def take(self, thing: _Thing, base: _Thing, is_whole: bool) -> bool:
        """Give a thing what it does not say; whether that could be done, else it is reported."""
        given, said = base.content, thing.content
        if not isinstance(given, Table) or not isinstance(said, Table):
            return False
        before = self.spent
        self.spent += measure(given, _SIZE_OF_A_VALUE)[0]
        if self.spent > MAX_INHERITED:
            if before <= MAX_INHERITED:
                self.note(f"what is taken over has more than {MAX_INHERITED:,} characters", thing)
            return False
        path, mark = (*thing.path, LIKE), mark_at(thing.table, LIKE)
        likeness = Likeness(thing.called, base.called, path, mark, frozenset(marks_in(said)))
        self.diagnostics.likenesses[thing.within] = likeness
        try:
            whole = _laid(given if thing.key else _without(given, "name"), said)
        except ConfigError as error:
            for problem in error.problems:
                below = f"{path_text(thing.within)}.{problem.place.path}"
                found = Problem(problem.message, replace(problem.place, path=below))
                self.diagnostics.problems.append(found)
            return False
        if is_whole and given and whole == said:
            message = f'nothing is taken over from "{base.called}", as all is said here'
            self.note(f'{message}; leave out "{LIKE}", or what is to be taken over', thing)
        if thing.key:
            mark = mark_at(thing.table, thing.key) or mark
            thing.table[thing.key] = whole
            if mark is not None:
                thing.table.value_marks[thing.key] = mark
            return True
        for key in whole:
            thing.table.take(whole, key)
        return True

    def give_up(self, thing: _Thing) -> None:
        """See that nothing is said of what a thing lacks, as nobody knows what it is like."""
        if thing.key:
            thing.table.setdefault(thing.key, Table())
        said = value_at(self.diagnostics.tree, thing.within)
        if not isinstance(said, Table) or (thing.key and _is_no_group(thing.kind)):
            return
        is_spec = bool(thing.key)
        fields = fields_of_spec(DEFINITIONS[thing.kind]) if is_spec else _FIELDS[thing.kind]
        for key in missing_keys(fields, said):
            said[key] = placeholder(fields[key].annotation)
            self.diagnostics.broken.add((*thing.within, key))
        self.diagnostics.dropped.add(thing.within)


def _things(tree: Any) -> Iterator[_Thing]:
    """All that may be like another."""
    for path, item in _items(tree, _DEFINITIONS):
        is_part = isinstance(path[-1], str)  # as it is written, they may stand in parts
        for at, one in _items(item, (), path) if is_part else [(path, item)]:
            if isinstance(one, Table) and isinstance(at[-1], str):
                yield _Thing(path[-1], at[-1], at, one)
            elif isinstance(one, Table):
                yield _Thing(one.get("group"), one.get("name"), at, one, "spec")
    for key, kind in (("pipelines", "pipeline"), ("debug_pipelines", "debug pipeline")):
        for path, item in _items(tree, ("initialize", key)):
            if isinstance(item, Table):
                yield _Thing(kind, path[-1], path, item)
    for path, stage in _items(tree, _STAGES):
        for at, item in _items(stage, ("debug_pipelines",), path):
            if isinstance(item, Table):
                yield _Thing("debug pipeline", None, at, item)
    # Behind all that is in one of them, as that is taken over too.
    for path, stage in _items(tree, _STAGES):
        if isinstance(stage, Table):
            yield _Thing("stage", stage.get("name"), path, stage)


def _items(tree: Any, path: Path, above: Path = ()) -> Iterator[tuple[Path, Any]]:
    """What an object or a list at a path holds, each with its path."""
    try:
        holder = value_at(tree, path)
    except (KeyError, IndexError, TypeError):
        return
    for step, item in items_of(holder):
        yield (*above, *path, step), item


def _is_no_group(group: Any) -> bool:
    return not isinstance(group, str) or group not in DEFINITIONS


def _without(table: Table, key: str) -> Table:
    found: Table = as_tree(table)
    found.pop(key, None)
    return found


def _laid(base: Table, own: Table) -> Table:
    """What something says, laid over what it takes over.

    Raises:
        ConfigError: It cannot be merged.
    """
    whole: Table = merge_configs(base, own)
    inputs, changed = base.get(_INPUTS), own.get(_INPUTS)
    if isinstance(inputs, Row) and isinstance(changed, Row) and _are_tables(*inputs, *changed):
        whole.past.pop(_INPUTS, None)
        whole[_INPUTS] = _by_port(inputs, changed)
    whole.mark = own.mark
    return whole


def _are_tables(*items: Any) -> bool:
    return all(isinstance(item, Table) for item in items)


def _by_port(base: Row, own: Row) -> Row:
    """Input factories, each laid over the one that feeds the same port.

    Raises:
        ConfigError: They cannot be merged.
    """
    ports = [item.get(_PORT) for item in base]
    result: Row = as_tree(base)
    result.mark = own.mark
    for item, mark in zip(own, own.marks, strict=True):
        port = item.get(_PORT)
        if len(base) == len(own) == 1 and None in (port, *ports):
            at = 0  # the only port
        elif port in ports:
            at = ports.index(port)
        else:
            result.put(as_tree(item), mark)
            continue
        result[at], result.marks[at] = merge_configs(base[at], item), mark
        result[at].mark = item.mark
    return result
