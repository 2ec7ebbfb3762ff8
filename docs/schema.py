"""Writes config.schema.json, by which editors complete and check a config, from the language.

``python docs/schema.py`` writes it anew, here and in the package, which brings it along.

The schema takes whatever the program takes: configs of every kind, parts of configs where files are
included, a variable in the place of any value, other names of keys. What has to be there is asked
of whole training configs alone.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic.json_schema import models_json_schema
from schema_arguments import (
    SHARED,
    VARIABLE,
    Named,
    arguments_of_loaders,
    named_in_configs,
)

from torchassistant.config.aliases import DEFINITION_SECTIONS, GROUP_ALIASES, key_aliases
from torchassistant.config.blocks import LIKE, blocks_of
from torchassistant.config.config_kinds import KINDS
from torchassistant.config.groups import GROUPS
from torchassistant.config.role import Role, role_of_key
from torchassistant.config.spec import Spec

Schema = dict[str, Any]

FILE = Path(__file__).with_name("config.schema.json")
FILES = (FILE, FILE.parents[1] / "torchassistant" / FILE.name)
LIBRARIES = ("torch", "torchvision", "torchmetrics")

BLOCKS = {block.__name__: block for kind in KINDS for block in blocks_of(kind.block)}
SPECS = {
    key: GROUPS[GROUP_ALIASES.get(key, key)].block.__name__ for key in (*GROUPS, *GROUP_ALIASES)
}
"""The block of what each group defines."""
STRATEGY = "^(replace_strategy|override_key|options)$"
"""Keys that say how an object is merged into another."""


def schema() -> Schema:
    """The JSON Schema of configs."""
    _, made = models_json_schema([(kind.block, "validation") for kind in KINDS], by_alias=True)
    blocks: dict[str, Schema] = _without_titles(made)["$defs"]
    whole = {
        f"whole {name}": needs
        for name, block in blocks.items()
        if (needs := _needs(block, blocks, name))
    }
    language = {name: _block(name, block) for name, block in blocks.items()}
    definitions = language["InitializeSpec"]["properties"]["definitions"]
    language["definition"] = definitions["items"]
    definitions["items"] = _ref("definition")
    # In sections, as other releases have them.
    sections = {"items": _ref("definition")}
    definitions["properties"] = dict.fromkeys(DEFINITION_SECTIONS, sections)
    # Or by group and name.
    for key, block in SPECS.items():
        language[block]["properties"][LIKE] = {"type": "string"}
        definitions["properties"][key] = {**definitions["properties"].get(key, {}), **_named(block)}
    del definitions["required"]
    asked = {key: _named(f"whole {block}") for key, block in SPECS.items()}
    asked = {key: one for key, one in asked.items() if f"whole {SPECS[key]}" in whole}
    whole["whole InitializeSpec"]["properties"]["definitions"]["properties"] = asked
    for name in ("EvaluationSpec", "InferenceBlock", "InferenceSpec"):
        language[name]["properties"]["initialize"] |= _ref("InitializeSpec")
    language["LoaderFactorySpec"]["properties"]["kwargs"] |= arguments_of_loaders()
    named = named_in_configs()
    _offer(language, named)
    defs = {**language, **whole, **_classes(named), **SHARED}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "TorchAssistant config",
        "$comment": "arguments of classes as of "
        + ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
        "type": "object",
        **_by_kind(),
        "$defs": {name: defs[name] for name in sorted(defs)},
    }


def _named(block: str) -> Schema:
    return {"additionalProperties": _ref(block)}


def text() -> str:
    """The same as the text of the file: a line for each definition."""
    made = schema()
    defs = made.pop("$defs")
    lines = [f"  {_line(key)}: {_line(value)}," for key, value in made.items()]
    inside = [f"    {_line(key)}: {_line(value)}" for key, value in defs.items()]
    return "\n".join(("{", *lines, '  "$defs": {', ",\n".join(inside), "  }", "}")) + "\n"


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _without_titles(value: Any, names: bool = False) -> Any:
    """Without the titles that are only the names of keys again.

    Args:
        value: A part of the schema.
        names: Whether its keys are names of the config, among which ``title`` may be one.
    """
    if isinstance(value, dict):
        return {
            key: _without_titles(item, names=not names and key in ("properties", "$defs"))
            for key, item in value.items()
            if names or key != "title"
        }
    return [_without_titles(item) for item in value] if isinstance(value, list) else value


# Kinds of configs


def _by_kind() -> Schema:
    """Which block a config is: one with keys that no other kind has, and else a training config."""
    trains = {
        "anyOf": [
            {"required": ["train"]},
            {
                "required": ["initialize"],
                "properties": {"initialize": _holding("definitions", _contains_optimizer())},
            },
        ]
    }
    training: Schema = {
        "if": {"required": ["$include"]},
        "then": _ref("Spec"),
        "else": {"allOf": [_ref("Spec"), _ref("whole Spec")]},
    }
    # A part of a config in a file of its own is an object of any group.
    part = {"if": {"required": ["class"]}, "then": _ref("classes"), "else": _ref("Spec")}
    chosen: Schema = part
    for kind in KINDS:
        if kind.block is not Spec:
            own = [{"required": [key]} for key in sorted(kind.own_keys)]
            chosen = {"if": {"anyOf": own}, "then": _ref(kind.block.__name__), "else": chosen}
    return {"if": trains, "then": training, "else": chosen}


def _holding(key: str, value: Schema) -> Schema:
    return {"type": "object", "required": [key], "properties": {key: value}}


def _contains_optimizer() -> Schema:
    rows = {"type": "array", "contains": _holding("group", {"const": "optimizers"})}
    return {"anyOf": [rows, {"type": "object", "required": ["optimizers"]}]}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name.replace(' ', '%20')}"}


# What has to be there


def _needs(part: Any, blocks: Mapping[str, Schema], name: str = "") -> Schema:
    """What a part of the schema asks to be there, and nothing besides; empty if that is nothing."""
    if "$ref" in part:
        block = part["$ref"].rpartition("/")[2]
        return _ref(f"whole {block}") if _needs(blocks[block], blocks, block) else {}
    found: Schema = {}
    others = {ours: other for other, ours in key_aliases(BLOCKS.get(name)).items()}
    for key in part.get("required", ()):
        names = [{"required": [one]} for one in (key, others.get(key)) if one is not None]
        found.setdefault("allOf", []).append(names[0] if len(names) == 1 else {"anyOf": names})
    inside = {key: _needs(value, blocks) for key, value in part.get("properties", {}).items()}
    if any(inside.values()):
        found["properties"] = {key: value for key, value in inside.items() if value}
    for key in ("items", "additionalProperties"):
        if isinstance(part.get(key), dict) and (below := _needs(part[key], blocks)):
            found[key] = below
    choices = part.get("anyOf", part.get("oneOf", ()))
    if "discriminator" in part:
        found["required"] = [part["discriminator"]["propertyName"]]
        found.setdefault("allOf", []).extend(_by_word(part, lambda one: _needs(one, blocks)))
    elif below := [one for choice in choices if (one := _needs(choice, blocks))]:
        # Each asks of what is of its own type.
        found.setdefault("allOf", []).extend(below)
    if found and (LIKE in part.get("properties", {}) or name in SPECS.values()):
        words = [key for key in ("group", "name") if key in part.get("required", ())]
        return {"if": {"required": [LIKE]}, "then": {"required": words}, "else": found}
    return found


def _by_word(part: Schema, then: Callable[[Schema], Schema]) -> list[Schema]:
    """For each block of which a word decides, as ``group``, what follows of it."""
    word = part["discriminator"]["propertyName"]
    found = []
    for value, ref in part["discriminator"]["mapping"].items():
        names = [value, *(other for other, ours in GROUP_ALIASES.items() if ours == value)]
        found.append(
            {
                "if": {"required": [word], "properties": {word: {"enum": names}}},
                "then": then({"$ref": ref}),
            }
        )
    return found


# What may be there


def _block(name: str, block: Schema) -> Schema:
    """A block of the language, which may be a part of one, with other names of its keys."""
    found = {**_widened(block), "type": ["object", "string"], "pattern": VARIABLE}
    found.pop("required", None)
    properties = found["properties"]
    for key, value in properties.items():
        if key in ("args", "kwargs"):
            properties[key] = {**value, **SHARED["object"]["properties"][key]}
    if {"class", "kwargs"} <= properties.keys():
        found["allOf"] = [_ref("classes")]
    if "group" in properties:
        word = block["properties"]["group"]["const"]
        names = [word, *(other for other, ours in GROUP_ALIASES.items() if ours == word)]
        properties["group"] = {"enum": names} if names[1:] else {"const": word}
    found["patternProperties"] = {
        STRATEGY: {},
        **{f"^{other}$": properties[ours] for other, ours in key_aliases(BLOCKS[name]).items()},
    }
    return found


def _widened(part: Schema) -> Schema:
    """A part of the schema that also takes a variable, and what lays a list under another."""
    if "discriminator" in part:
        word = part["discriminator"]["propertyName"]
        chosen = _by_word(part, lambda one: one)
        words = [value for one in chosen for value in one["if"]["properties"][word]["enum"]]
        return {
            **{key: value for key, value in part.items() if key not in ("discriminator", "oneOf")},
            **{"type": ["object", "string"], "pattern": VARIABLE},
            "properties": {word: _or_variable({"enum": words})},
            "allOf": chosen,
        }
    found = copy.deepcopy(part)
    for key in ("properties", "patternProperties"):
        if key in part:
            found[key] = {name: _widened(value) for name, value in part[key].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(part.get(key), dict):
            found[key] = _widened(part[key])
    choices = found.pop("anyOf", found.pop("oneOf", ()))
    if choices:
        found["anyOf"] = [_widened(choice) for choice in choices]
    kind = found.get("type")
    if "enum" in found or "const" in found:
        words = [found.pop("const")] if "const" in found else found.pop("enum")
        del found["type"]
        found |= _or_variable({"enum": words})
    elif kind == "string" and "pattern" in found:
        found["pattern"] = f"({found['pattern']})|{VARIABLE}"
    elif kind == "array":
        found |= {
            "type": ["array", "object", "string"],
            "pattern": VARIABLE,
            "required": ["options"],
        }
    elif kind == "object":
        found |= {"type": ["object", "string"], "pattern": VARIABLE}
        if "additionalProperties" in found:
            found["patternProperties"] = {STRATEGY: {}}
    elif kind in ("integer", "number", "boolean"):
        found |= {"type": [kind, "string"], "pattern": VARIABLE}
    return found


def _or_variable(part: Schema) -> Schema:
    return {"anyOf": [part, {"type": "string", "pattern": VARIABLE}]}


# Classes


def _offer(language: dict[str, Schema], named: Named) -> None:
    """Name the classes that each place is for, so that editors offer them."""
    for group in GROUPS.values():
        if group.role is not None and group.role.name in named.short:
            block = language[group.block.__name__]
            block["properties"]["class"]["examples"] = named.offered(group.role)
            block["allOf"] += _meant_by(group.role, named)
    for name, block in BLOCKS.items():
        for key, field in block.model_fields.items():
            role = role_of_key(field)
            if role is not None and role.name in named.short:
                part = language[name]["properties"][field.alias or key]
                words = named.offered(role)
                part["properties"] = {"class": {"examples": words}}
                if role.or_itself:
                    part["examples"] = words
                if meant := _meant_by(role, named):
                    part["allOf"] = meant


def _meant_by(role: Role, named: Named) -> list[Schema]:
    """What follows of the short names that mean something else in other roles."""
    own = [(w, path) for w, path in named.short[role.name].items() if len(named.meant[w]) > 1]
    return [_if_class([word], path) for word, path in own if path in named.takes]


def _classes(named: Named) -> dict[str, Schema]:
    """What each class takes, and which of them is meant by what stands under ``class``."""
    names = {path: [*named.paths[path]] for path in named.takes}
    for word, paths in named.meant.items():
        if len(paths) == 1 and (path := min(paths)) in names:
            names[path].append(word)
    # By their first letters, so that few are compared with a name.
    letters: dict[str, dict[str, list[str]]] = {}
    for path, words in names.items():
        for word in words:
            letter = word.rpartition(".")[2][0]
            letters.setdefault(letter, {}).setdefault(path, []).append(word)
    chosen = [
        {
            "if": {"properties": {"class": {"pattern": rf"(^|\.){letter}\w*$"}}},
            "then": {"allOf": [_if_class(words, path) for path, words in found.items()]},
        }
        for letter, found in sorted(letters.items())
    ]
    return {**named.takes, "classes": {"if": {"required": ["class"]}, "then": {"allOf": chosen}}}


def _if_class(words: Iterable[str], path: str) -> Schema:
    # No enum: its words would be offered wherever a class is expected.
    homes: dict[str, list[str]] = {}
    for home, dot, name in (word.rpartition(".") for word in words):
        homes.setdefault(name, []).append(re.escape(home + dot))
    pattern = "|".join(f"({'|'.join(sorted(each))}){name}" for name, each in homes.items())
    return {"if": {"properties": {"class": {"pattern": f"^({pattern})$"}}}, "then": _ref(path)}


if __name__ == "__main__":
    for file in FILES:
        file.write_text(text(), encoding="utf-8")
