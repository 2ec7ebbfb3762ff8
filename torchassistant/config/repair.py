"""What is put in the place of what does not fit."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import Any, Generic, TypeVar

from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from torchassistant.config.aliases import GROUP_ALIASES, apply_aliases, key_aliases
from torchassistant.config.block_fields import (
    annotation_at,
    fields_of,
    fits,
    only_missing_key,
    placeholder,
    placeholder_at,
)
from torchassistant.config.blocks import LIKE, Block
from torchassistant.config.diagnostics import Diagnostics
from torchassistant.config.group_guesses import group_by_looks, group_by_use, undefined_uses
from torchassistant.config.inheritance import inherit
from torchassistant.config.misfit_messages import KINDS, sentence_of, shown_value
from torchassistant.config.spec import DEFINITIONS, DefinitionBlock, Spec
from torchassistant.config.tree import UNREADABLE, Path, Table, value_at, walk
from torchassistant.errors import listing, nearest

B = TypeVar("B", bound=Block)

_MOST_GUESSES = 300
"""Comparing names is dear; where so many are wrong, nobody is helped by one guess more."""
_DEFINITIONS: Path = ("initialize", "definitions")
_PARTS = ("group", "name", "spec", LIKE)
"""The keys of a definition."""
_SURELY = 0.7
"""How much a key has to be like another, to be taken for it whatever its value."""


class Repair(Generic[B]):
    """Reports what does not fit, and puts something that fits in its place.

    A definition of a group that is none is set aside first: what names it says its group, and that
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
        self.is_renamed = False
        self.guessed: list[Path] = []
        self.guesses = 0

    def repair(self, errors: dict[Path, list[ErrorDetails]]) -> None:
        """Repair misspelt keys, or else all that is left: a missing key may be a misspelt one."""
        self.is_renamed = False
        misspelt = [p for p, found in errors.items() if found[0]["type"] == "extra_forbidden"]
        for path in misspelt:
            self.unknown_key(path)
        for path, details in errors.items() if not misspelt else ():
            is_of_a_group = details[0]["type"] in ("union_tag_invalid", "union_tag_not_found")
            if is_of_a_group and isinstance(value_at(self.tree, path), Table):
                self.unknown_group(path)
            else:
                self.misfit(path, details)
        self.apply_aliases()

    def apply_aliases(self) -> None:
        """Replace aliases in what is known only now."""
        if self.is_renamed and self.tree is self.diagnostics.tree:
            apply_aliases(self.diagnostics)
            if self.block is Spec:
                inherit(self.diagnostics)

    def set_aside_unreadable(self) -> bool:
        """Put null where the reader has reported something, and anything may stand."""
        self.diagnostics.broken.update(self.guessed)
        own = {k: v for k, v in self.tree.items() if k != "initialize" or self.block is Spec}
        found = [path for path, value in walk(own) if value is UNREADABLE]
        for path in found:
            value_at(self.tree, path[:-1])[path[-1]] = None
            self.diagnostics.broken.add(path)
        return bool(found)

    def nearest(self, name: str, known: Iterable[str]) -> str | None:
        """The name that was probably meant."""
        return nearest(name, known) if self.may_guess() else None

    def may_guess(self) -> bool:
        """Whether one more guess is made."""
        self.guesses += 1
        return self.guesses <= _MOST_GUESSES

    def unknown_key(self, path: Path) -> None:
        """Report a key that is not in the language; take it for the one that was meant, if any."""
        *above, key = path
        table, name = value_at(self.tree, above), str(key)
        annotation = self.annotation_at(tuple(above))
        fields = fields_of(annotation)
        words = {**{field: field for field in fields}, **key_aliases(annotation)}
        near = self.nearest(name, words)
        meant = near if near and self.may_mean(name, near, words[near], table, fields) else None
        meant = meant or only_missing_key(fields, table, table[key])
        clause = f'; did you mean "{meant or near}"?' if meant or near else ""
        if meant is None:
            self.diagnostics.dropped.add(tuple(above))
            where = ' (arguments stand under "kwargs")' if "kwargs" in fields else ""
            clause = (clause or f"; there are {listing(sorted(fields))}") + where
        else:
            table.take(table, name, as_key=words[meant])
            self.is_renamed = True
        self.diagnostics.note(f'unknown key "{name}"{clause}', path, at_key=True)
        del table[name]

    def may_mean(
        self, name: str, near: str, ours: str, table: Table, fields: dict[str, FieldInfo]
    ) -> bool:
        """Whether an unknown key can be taken for the one that is spelt most like it."""
        if ours in table:
            return False
        is_fitting = fits(fields[ours].annotation, table[name])
        return is_fitting or SequenceMatcher(None, name, near).ratio() > _SURELY

    def misfit(self, path: Path, details: list[ErrorDetails]) -> None:
        """Report a value that does not fit, or is missing, and put something that fits there."""
        if not self.is_unreadable(path):
            self.diagnostics.note(sentence_of(details), path)
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
        field = fields_of(self.annotation_at(tuple(above))).get(str(key))
        if field is not None and not field.is_required():
            holder.pop(key, None)
            return
        holder[key] = placeholder_at(self.block, self.tree, path)

    def unknown_group(self, path: Path) -> None:
        """Report a definition that says no group; take what is near, or set it aside."""
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
        value_at(self.tree, path[:-1])[path[-1]] = placeholder(DefinitionBlock)

    def put_back(self, found: B) -> bool:
        """Put back what was set aside, as far as its group can be guessed; whether anything was.

        Args:
            found: The block without it.
        """
        aside, self.aside = self.aside, {}
        uses = list(undefined_uses(found)) if aside and isinstance(found, Spec) else []
        for path, definition in aside.items():
            name, spec = definition.get("name"), definition.get("spec")
            group = None
            if isinstance(name, str):
                group = group_by_use(name, spec, uses) if self.may_guess() else None
                if group is None:
                    # Whatever it is, something of this name is defined.
                    self.diagnostics.ungrouped[path] = name
            if group is None:
                group = group_by_looks(spec) if self.may_guess() else None
                if group is None:
                    self.report_parts(definition, path)
                    continue
                self.guessed.append((*path, "group"))
                self.guessed += [(*path, "spec", key) for key in ("class", "factory_fn")]
            definition["group"] = group
            value_at(self.tree, path[:-1])[path[-1]] = definition
            self.is_renamed = True
        self.apply_aliases()
        return bool(aside)

    def report_parts(self, definition: Any, path: Path) -> None:
        """Report what is wrong with a definition of which nobody can say what it is."""
        for key, annotation in (("name", str), ("spec", dict)):
            if key not in definition:
                self.diagnostics.note(f'the key "{key}" is missing', path)
            elif not isinstance(definition[key], (annotation, type(UNREADABLE))):
                what = f"expected {KINDS['string' if key == 'name' else 'dictionary']}"
                self.diagnostics.note(f"{what}, found {shown_value(definition[key])}", (*path, key))
        self.diagnostics.broken.add(path)

    def keys_of_definition(self, definition: Any, path: Path) -> None:
        """Report keys that no definition has, whatever it is of."""
        for key in [key for key in definition if key not in _PARTS]:
            absent = [word for word in _PARTS if word not in definition]
            meant = self.nearest(key, absent)
            clause = f'; did you mean "{meant}"?' if meant else f"; there are {listing(_PARTS)}"
            self.diagnostics.note(f'unknown key "{key}"{clause}', (*path, key), at_key=True)
            if meant:
                definition.take(definition, key, as_key=meant)
            del definition[key]

    def is_near_a_group(self, definition: Any, path: Path) -> bool:
        """Report a group that is none; take it for the one that was meant, if any."""
        group = definition["group"]
        if group is UNREADABLE:
            return False
        known = [*DEFINITIONS, *GROUP_ALIASES]
        meant = self.nearest(group, known) if isinstance(group, str) else None
        clause = f'; did you mean "{meant}"?' if meant else f"; there are {listing(known, 20)}"
        what = "unknown group" if isinstance(group, str) else "expected a group, found"
        self.diagnostics.note(f"{what} {shown_value(group)}{clause}", (*path, "group"))
        if meant is None:
            return False
        definition["group"] = GROUP_ALIASES.get(meant, meant)
        self.is_renamed = True
        return True

    def annotation_at(self, path: Path) -> Any:
        """The type that the language has at a path; None where it has none."""
        return annotation_at(self.block, self.tree, path)

    def is_unreadable(self, path: Path) -> bool:
        """Whether the reader has reported what stands at a path."""
        try:
            return value_at(self.tree, path) is UNREADABLE
        except (KeyError, IndexError, TypeError):
            return False
