"""A tree → a typed block. What does not fit is told, mended, and marked as broken.

Mending lets the later levels of the check see everything else: a key that is misspelt is taken for
the key that was meant, and what cannot be read is replaced by a placeholder of which, as it is
broken, nothing more is said.
"""

from __future__ import annotations

import types
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from functools import cache
from typing import Annotated, Any, Generic, Literal, TypeVar, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from torchassistant.config import sizes
from torchassistant.config.aliases import GROUPS as LATER_GROUPS
from torchassistant.config.aliases import in_our_words, later_keys
from torchassistant.config.defaults import pipelines_of
from torchassistant.config.diagnostics import Diagnostics
from torchassistant.config.references import (
    DATASET_OR_SLICE,
    Key,
    as_slice,
    references,
    references_of_pipeline,
    target,
)
from torchassistant.config.spec import DEFINITIONS, Block, DefinitionBlock, Spec
from torchassistant.config.tree import UNREADABLE, Path, Row, Table, as_tree, value_at, walk
from torchassistant.errors import listing, nearest

B = TypeVar("B", bound=Block)

PLACEHOLDER = "\ufffc"
_ROUNDS = 20
"""Mending one thing may uncover another inside it, never deeper than the language is nested."""
_MOST_MENDED = 10_000
"""Where more is wrong, so much of it is told, and nothing else is looked at."""
_MOST_GUESSES = 300
"""Comparing names is dear; where so many are wrong, nobody is helped by one guess more."""
_QUIET = ("collators", "metrics", "forward_hooks")
"""Groups whose definitions may be left unused."""
_DEFINITIONS: Path = ("initialize", "definitions")
_PARTS = ("group", "name", "spec")
"""The keys of a definition."""
_SURELY = 0.7
"""How much a key has to be like another, to be taken for it whatever its value."""
_SOURCES = ("class", "factory_fn", "link", "merge", "neural_graph")
"""Keys of which one says what an object is made by."""

_KINDS = {
    "string": "a string",
    "list": "a list",
    "dictionary": "an object",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}


def validate(block: type[B], tree: Any, diagnostics: Diagnostics) -> B | None:
    """Check a tree against a block of the language.

    Args:
        block: What it should be.
        tree: Changed in place where it is mended.
        diagnostics: Gets the problems, and the parts that were mended.

    Returns:
        The block, mended where it had to be; None where the tree is past repair.
    """
    _expect_names(tree, diagnostics)
    repair = _Repair(block, tree, diagnostics)
    while (found := _mended(repair)) is not None:
        if repair.put_back(found):
            continue
        is_changed = repair.set_aside_unreadable()
        return block.model_validate(tree) if is_changed else found
    return None


_NAMING = (("initialize", "pipelines"), ("initialize", "debug_pipelines"))
"""Tables whose keys are names."""


def _expect_names(tree: Any, diagnostics: Diagnostics) -> None:
    """Tell of what has an empty name, and give it one."""
    for path in _NAMING:
        table = tree
        for step in path:
            table = table.get(step) if isinstance(table, dict) else None
        if isinstance(table, Table) and "" in table:
            diagnostics.note("a name was expected, and this one is empty", (*path, ""), at_key=True)
            table.take(table, "", as_key=PLACEHOLDER)
            del table[""]
            diagnostics.broken.add((*path, PLACEHOLDER))


def _mended(repair: _Repair[B]) -> B | None:
    """The block, as soon as the tree fits; None where it is past repair."""
    for _ in range(_ROUNDS):
        try:
            return repair.block.model_validate(repair.tree)
        except ValidationError as error:
            details = error.errors(include_url=False)[:_MOST_MENDED]
            repair.mend(_by_path(repair.tree, details))
            if error.error_count() > _MOST_MENDED:
                return None
    return None


def _by_path(tree: Any, errors: list[ErrorDetails]) -> dict[Path, list[ErrorDetails]]:
    found: dict[Path, list[ErrorDetails]] = {}
    for details in errors:
        found.setdefault(_real_path(tree, details), []).append(details)
    return found


def _real_path(tree: Any, details: ErrorDetails) -> Path:
    """pydantic's location without the tags of unions, which are no keys of the config."""
    path: list[str | int] = []
    node = tree
    for step in details["loc"]:
        inside = (isinstance(node, dict) and step in node) or (
            isinstance(node, list) and isinstance(step, int) and step < len(node)
        )
        if inside:
            node = node[step]
            path.append(step)
    if details["type"] == "missing":
        path.append(details["loc"][-1])
    return tuple(path)


class _Repair(Generic[B]):
    """Tells what does not fit, and puts something that fits in its place.

    A definition of a group that is none is set aside first: what names it tells its group, and that
    is known when all else fits.

    Args:
        block: What the tree should be.
        tree: Changed in place.
        diagnostics: Gets the problems.
    """

    def __init__(self, block: type[B], tree: Any, diagnostics: Diagnostics) -> None:
        self.block = block
        self.tree = tree
        self.diagnostics = diagnostics
        self.aside: dict[Path, Any] = {}
        self.is_respelt = False
        self.guessed: list[Path] = []
        self.guesses = 0

    def mend(self, errors: dict[Path, list[ErrorDetails]]) -> None:
        """Mend misspelt keys, or else all that is left: a missing key may be a misspelt one."""
        self.is_respelt = False
        misspelt = [p for p, found in errors.items() if found[0]["type"] == "extra_forbidden"]
        for path in misspelt:
            self.unknown_key(path)
        for path, details in errors.items() if not misspelt else ():
            is_of_a_group = details[0]["type"] in ("union_tag_invalid", "union_tag_not_found")
            if is_of_a_group and isinstance(value_at(self.tree, path), Table):
                self.unknown_group(path)
            else:
                self.misfit(path, details)
        self.spell()

    def spell(self) -> None:
        """Put later names into our words, where what they are in is known only now."""
        if self.is_respelt and self.tree is self.diagnostics.tree:
            in_our_words(self.diagnostics)

    def set_aside_unreadable(self) -> bool:
        """Put null where the reader has told of something, and anything may stand."""
        self.diagnostics.broken.update(self.guessed)
        own = {k: v for k, v in self.tree.items() if k != "initialize" or self.block is Spec}
        found = [path for path, value in walk(own) if value is UNREADABLE]
        for path in found:
            value_at(self.tree, path[:-1])[path[-1]] = None
            self.diagnostics.broken.add(path)
        return bool(found)

    def nearest(self, name: str, known: Iterable[str]) -> str | None:
        """The name that was probably meant."""
        self.guesses += 1
        return nearest(name, known) if self.guesses <= _MOST_GUESSES else None

    def unknown_key(self, path: Path) -> None:
        """Tell of a key that is not in the language; take it for the one that was meant, if any."""
        *above, key = path
        table, name = value_at(self.tree, above), str(key)
        annotation = self.annotation_at(tuple(above))
        fields = _fields(annotation)
        words = {**{field: field for field in fields}, **later_keys(annotation)}
        near = self.nearest(name, words)
        meant = near if near and self.may_mean(name, near, words[near], table, fields) else None
        meant = meant or _only_gap(fields, table, table[key])
        clause = f'; did you mean "{meant or near}"?' if meant or near else ""
        if meant is None:
            self.diagnostics.dropped.add(tuple(above))
            clause = (clause or f"; there are {listing(sorted(fields))}") + _where_else(fields)
        else:
            table.take(table, name, as_key=words[meant])
            self.is_respelt = True
        self.diagnostics.note(f'unknown key "{name}"{clause}', path, at_key=True)
        del table[name]

    def may_mean(
        self, name: str, near: str, ours: str, table: Table, fields: dict[str, FieldInfo]
    ) -> bool:
        """Whether an unknown key can be taken for the one that is spelt most like it."""
        if ours in table:
            return False
        fits = _fits(fields[ours].annotation, table[name])
        return fits or SequenceMatcher(None, name, near).ratio() > _SURELY

    def misfit(self, path: Path, details: list[ErrorDetails]) -> None:
        """Tell of a value that does not fit, or is missing, and put something that fits there."""
        if not _is_unreadable(self.tree, path):
            self.diagnostics.note(_one_of([_sentence(d) for d in details]), path)
            if path[:-1] == _DEFINITIONS:
                self.diagnostics.ungrouped[path] = ""  # not even the name of one
        self.diagnostics.broken.add(path)
        if not path:
            return
        *above, key = path
        try:
            holder = value_at(self.tree, above)
        except LookupError:
            return  # what it stood in was taken out for another mistake
        field = _fields(self.annotation_at(tuple(above))).get(str(key))
        if field is not None and not field.is_required():
            holder.pop(key, None)
            return
        holder[key] = _placeholder(field.annotation if field else self.annotation_at(path))

    def unknown_group(self, path: Path) -> None:
        """Tell of a definition that says no group; take what is near, or set it aside."""
        definition = value_at(self.tree, path)
        self.keys_of_definition(definition, path)
        if definition.get("group") in list(DEFINITIONS):
            return
        if "group" not in definition:
            message = f'the key "group" is missing; it is one of {listing(list(DEFINITIONS), 20)}'
            self.diagnostics.note(message, path)
        elif self.is_near_a_group(definition, path):
            return
        self.aside[path] = definition
        value_at(self.tree, path[:-1])[path[-1]] = _placeholder(DefinitionBlock)

    def put_back(self, found: B) -> bool:
        """Put back what was set aside, as far as its group can be told; whether anything was.

        Args:
            found: The block without it.
        """
        aside, self.aside = self.aside, {}
        uses = list(_uses(found)) if aside and isinstance(found, Spec) else []
        for path, definition in aside.items():
            group = self.group_by_use(definition, uses)
            if group is None:
                group = self.group_by_looks(definition, path)
            if group is not None:
                definition["group"] = group
                value_at(self.tree, path[:-1])[path[-1]] = definition
                self.is_respelt = True
        self.spell()
        return bool(aside)

    def group_by_use(self, definition: Any, uses: Sequence[Key]) -> str | None:
        """The group of which others name a definition of this name, that is not there else."""
        name = definition.get("name")
        if not isinstance(name, str) or self.guesses > _MOST_GUESSES:
            return None
        self.guesses += 1
        groups = {use.group for use in uses if use.name == name}
        groups = groups or {use.group for use in uses if nearest(use.name, [name])}
        likely = [group for group in groups if _is_like(group, definition.get("spec"))]
        return likely[0] if len(likely) == 1 else None

    def group_by_looks(self, definition: Any, path: Path) -> str | None:
        """The group that a definition looks like: of that, nothing more is said.

        What cannot be told is left set aside.
        """
        # Whatever it is, something of this name is defined.
        if isinstance(definition.get("name"), str):
            self.diagnostics.ungrouped[path] = definition["name"]
        self.guesses += 1
        group = _group_of(definition.get("spec")) if self.guesses <= _MOST_GUESSES else None
        if group is not None:
            self.guessed.append((*path, "group"))
            self.guessed += [(*path, "spec", key) for key in ("class", "factory_fn")]
            return group
        for key, annotation in (("name", str), ("spec", dict)):
            if key not in definition:
                self.diagnostics.note(f'the key "{key}" is missing', path)
            elif not isinstance(definition[key], (annotation, type(UNREADABLE))):
                what = f"expected {_KINDS['string' if key == 'name' else 'dictionary']}"
                self.diagnostics.note(f"{what}, found {shown_value(definition[key])}", (*path, key))
        self.diagnostics.broken.add(path)
        return None

    def keys_of_definition(self, definition: Any, path: Path) -> None:
        """Tell of keys that no definition has, whatever it is of."""
        for key in [key for key in definition if key not in _PARTS]:
            absent = [word for word in _PARTS if word not in definition]
            meant = self.nearest(key, absent)
            clause = (
                f'; did you mean "{meant}"?' if meant else '; there are "group", "name", "spec"'
            )
            self.diagnostics.note(f'unknown key "{key}"{clause}', (*path, key), at_key=True)
            if meant:
                definition.take(definition, key, as_key=meant)
            del definition[key]

    def is_near_a_group(self, definition: Any, path: Path) -> bool:
        """Tell of a group that is none; take it for the one that was meant, if any."""
        group = definition["group"]
        if group is UNREADABLE:
            return False
        known = [*DEFINITIONS, *LATER_GROUPS]
        meant = self.nearest(group, known) if isinstance(group, str) else None
        clause = f'; did you mean "{meant}"?' if meant else f"; there are {listing(known, 20)}"
        what = "unknown group" if isinstance(group, str) else "expected a group, found"
        self.diagnostics.note(f"{what} {shown_value(group)}{clause}", (*path, "group"))
        if meant is None:
            return False
        definition["group"] = LATER_GROUPS.get(meant, meant)
        self.is_respelt = True
        return True

    def annotation_at(self, path: Path) -> Any:
        """The type that the language has at a path; None where it has none."""
        return _annotation_at(self.block, self.tree, path)


def _uses(spec: Spec) -> Iterator[Key]:
    """What is named, and is not there."""
    initialize = spec.initialize
    found = [one for definition in initialize.definitions for one in references(definition)]
    for pipeline in pipelines_of(spec):
        found += references_of_pipeline(pipeline)
    defined = {Key(d.group, d.name): d for d in initialize.definitions}
    for reference in found:
        if target(reference, defined) is not None:
            continue
        piece = as_slice(reference.name) if reference.group == DATASET_OR_SLICE else None
        group = "datasets" if reference.group == DATASET_OR_SLICE else reference.group
        yield Key("splits", piece.split) if piece else Key(group, reference.name)


def _is_like(group: str, spec: Any) -> bool:
    """Whether more keys of a spec are known to a group than are not."""
    if not isinstance(spec, dict):
        return True
    fields = _fields_of_spec(DEFINITIONS[group])
    known = sum(1 for key in spec if nearest(str(key), fields))
    return 2 * known > len(spec) or not spec


def _group_of(spec: Any) -> str | None:
    """The group that a spec is of; where several fit best, one of which little is demanded."""
    if not isinstance(spec, dict) or not spec:
        return None
    scores: dict[int, list[str]] = {}
    for group, definition in DEFINITIONS.items():
        fields = _fields_of_spec(definition)
        meant = {key: key if key in fields else nearest(str(key), fields) for key in spec}
        if None not in meant.values() and not _lacking(fields, dict.fromkeys(meant.values())):
            score = sum(1 if key == near else -1 for key, near in meant.items())
            scores.setdefault(score, []).append(group)
    best = scores[max(scores)] if scores else []
    return best[0] if len(best) == 1 else next((g for g in _QUIET if g in best), None)


def _fields_of_spec(definition: type[DefinitionBlock]) -> dict[str, FieldInfo]:
    annotation: Any = definition.model_fields["spec"].annotation
    return _fields(annotation)


def _lacking(fields: dict[str, FieldInfo], table: Mapping[Any, Any]) -> list[str]:
    """The keys that a block lacks; "class" for an object that is made by nothing."""
    lacking = [k for k, field in fields.items() if field.is_required() and k not in table]
    is_made = "class" not in fields or any(key in table for key in _SOURCES)
    return lacking if is_made else [*lacking, "class"]


def _where_else(fields: Collection[str]) -> str:
    return ' (arguments stand under "kwargs")' if "kwargs" in fields else ""


def _is_unreadable(tree: Any, path: Path) -> bool:
    try:
        return value_at(tree, path) is UNREADABLE
    except (KeyError, IndexError, TypeError):
        return False


def _only_gap(fields: dict[str, FieldInfo], table: dict[str, Any], value: Any) -> str | None:
    """The only key that a block lacks, if a value fits there."""
    lacking = _lacking(fields, table)
    if len(lacking) != 1:
        return None
    return lacking[0] if _fits(fields[lacking[0]].annotation, value) else None


def _fits(annotation: Any, value: Any) -> bool:
    """Whether a value is of the kind that may stand somewhere."""
    return value is UNREADABLE or isinstance(value, type(_placeholder(annotation)))


def _one_of(sentences: list[str]) -> str:
    """One sentence for a value that fits none of several forms."""
    sentences = list(dict.fromkeys(sentences))
    expected = [s.removeprefix("expected ").rpartition(", found ") for s in sentences]
    if len(sentences) > 1 and all(s.startswith("expected ") for s in sentences):
        forms = " or ".join(dict.fromkeys(form for form, _, _ in expected))
        return f"expected {forms}, found {expected[0][2]}"
    return "; or: ".join(sentences)


def _sentence(details: ErrorDetails) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "missing":
        return f'the key "{details["loc"][-1]}" is missing'
    if kind == "literal_error":
        return f"expected {context.get('expected')}, found {shown_value(details['input'])}"
    if kind == "too_short":
        return "expected at least one, found none"
    if kind == "string_too_short":
        return "expected a string that is not empty"
    if kind == "string_pattern_mismatch" and context.get("pattern") == sizes.PATTERN:
        return f'expected a size such as "500 MB", found {shown_value(details["input"])}'
    if kind == "string_pattern_mismatch":
        return f"expected a string of the form {context.get('pattern')}, " + (
            f"found {shown_value(details['input'])}"
        )
    message = details["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    if kind in ("model_type", "model_attributes_type", "union_tag_not_found"):
        message = "dictionary"
    return f"expected {_KINDS.get(message, message)}, found {shown_value(details['input'])}"


def shown_value(value: Any) -> str:
    """A value of a config as a message shows it."""
    if isinstance(value, (dict, list)):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value) if len(str(value)) <= 60 else f"{str(value)[:60]}…"
    return f'"{text}"' if isinstance(value, str) else text


# What the language has where


@cache
def _fields(annotation: Any) -> dict[str, FieldInfo]:
    """The fields of a block, by the key of the config; none for anything else."""
    if not (isinstance(annotation, type) and issubclass(annotation, Block)):
        return {}
    return {field.alias or name: field for name, field in annotation.model_fields.items()}


def _annotation_at(block: type[Block], tree: Any, path: Path) -> Any:
    """The type that the language has at ``path``; None where it has none."""
    annotation: Any = _plain(block, tree)
    for step in path:
        fields = _fields(annotation)
        if step in fields:
            annotation = fields[str(step)].annotation
        elif get_origin(annotation) is list:
            (annotation,) = get_args(annotation)
        elif get_origin(annotation) is dict:
            annotation = get_args(annotation)[1]
        else:
            return None
        inside = isinstance(tree, dict) or (isinstance(tree, list) and isinstance(step, int))
        try:
            tree = tree[step] if inside else None
        except (KeyError, IndexError):
            tree = None
        annotation = _plain(annotation, tree)
    return annotation


def _plain(annotation: Any, value: Any) -> Any:
    """A type without its notes; of several, the one that a value is meant to be."""
    choices = _choices(annotation)
    if len(choices) == 1:
        return choices[0]
    if DEFINITIONS["models"] in choices:
        group = value.get("group") if isinstance(value, dict) else None
        return DEFINITIONS.get(group, DefinitionBlock) if isinstance(group, str) else None
    for choice in choices:
        if isinstance(value, dict) and (_fields(choice) or get_origin(choice) is dict):
            return choice
        if isinstance(value, list) and get_origin(choice) is list:
            return choice
    return choices[0]


@cache
def _choices(annotation: Any) -> tuple[Any, ...]:
    """The types that a type may be, without notes and without null."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) not in (Union, types.UnionType):
        return (annotation,)
    inner = [plain for choice in get_args(annotation) for plain in _choices(choice)]
    return tuple(choice for choice in inner if choice is not type(None))


def _placeholder(annotation: Any) -> Any:
    """The least that fits a type."""
    annotation = _plain(annotation, None)
    if annotation in (None, DefinitionBlock):
        return as_tree({"group": "collators", "name": PLACEHOLDER, "spec": {"class": PLACEHOLDER}})
    if annotation is str:
        return PLACEHOLDER
    if get_origin(annotation) is list:
        return Row([_placeholder(get_args(annotation)[0])])
    if get_origin(annotation) is dict:
        return Table({PLACEHOLDER: _placeholder(get_args(annotation)[1])})
    if get_origin(annotation) is Literal:
        return get_args(annotation)[0]
    if annotation in (int, float):
        return annotation(1)
    fields = _fields(annotation)
    table = Table({k: _placeholder(f.annotation) for k, f in fields.items() if f.is_required()})
    if "class" in fields and not table.get("neural_graph"):
        table["class"] = PLACEHOLDER
    return table
