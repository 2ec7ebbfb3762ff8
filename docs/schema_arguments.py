"""JSON Schemas of the arguments of what a config may name of the libraries, and of ours.

They are made from the signatures and annotations of the installed versions; ``schema.py`` puts them
into the schema of configs. A class whose signature cannot be told, or that hands on what it does
not name, takes other names too. An argument may always be an object of the config, another form of
an argument, or a text with a variable; else it is of the types that its annotation names, where it
has one that tells them.
"""

from __future__ import annotations

import collections.abc
import importlib
import inspect
import json
import os
import re
import types
import typing
from collections.abc import Iterable, Iterator
from enum import Enum
from functools import cache
from types import ModuleType
from typing import Any, Literal, NamedTuple

from torch.utils.data import DataLoader

from torchassistant.assembly.allowlist import Allowlist
from torchassistant.assembly.handing_on import handed_on
from torchassistant.assembly.importing import modules_of
from torchassistant.assembly.object_checks import LOADER_GIVEN
from torchassistant.assembly.origin import name_of
from torchassistant.assembly.role_checks import classes_named, given_to, role_misfit
from torchassistant.assembly.signatures import (
    BY_NAME,
    BY_POSITION,
    behind_of,
    handing_on_to,
    parameters_of,
)
from torchassistant.config import ROLES, Role
from torchassistant.config.automatic_lengths import AUTO, LENGTHS
from torchassistant.config.role import OPTIMIZER, SCHEDULER
from torchassistant.config.roles import ANYTHING

Schema = dict[str, Any]

VARIABLE = r"\$\{"
"""What a text holds that stands for something else."""

BY_PATH = (
    *("torchvision.models", "torchvision.models.detection", "torchvision.models.optical_flow"),
    *("torchvision.models.quantization", "torchvision.models.segmentation"),
    *("torchvision.models.video", "torchvision.transforms", "torchvision.transforms.v2"),
    *("torchvision.datasets", "torchvision.ops", "torch.utils.data"),
)
"""Modules that have no short names, and that configs name by their paths."""

_LOSSES = "torch.nn.modules.loss."
_REDUCTIONS = ("none", "mean", "sum")
"""What ``reduction`` may be, which the documentation says and the annotation does not."""

SHARED: dict[str, Schema] = {
    "object": {
        "properties": {
            "class": {"type": "string"},
            "factory_fn": {"type": "string"},
            "args": {
                "type": ["array", "string"],
                "pattern": VARIABLE,
                "items": {"$ref": "#/$defs/value"},
            },
            "kwargs": {
                "type": ["object", "string"],
                "pattern": VARIABLE,
                "additionalProperties": {"$ref": "#/$defs/value"},
            },
        },
        "additionalProperties": False,
        "allOf": [{"$ref": "#/$defs/classes"}],
    },
    "value": {
        "if": {
            "type": "object",
            "anyOf": [
                {"required": [key], "properties": {key: {"type": "string", "minLength": 1}}}
                for key in ("class", "factory_fn")
            ],
        },
        "then": {"$ref": "#/$defs/object"},
        "else": {
            "if": {"type": "object", "required": ["$literal"]},
            "else": {
                "additionalProperties": {"$ref": "#/$defs/value"},
                "items": {"$ref": "#/$defs/value"},
            },
        },
    },
    "made": {
        "type": ["object", "string"],
        "pattern": VARIABLE,
        "anyOf": [
            {"type": "string"},
            *(
                {"required": [key]}
                for key in (
                    *("class", "factory_fn", "constant", "function", "tensor", "attribute"),
                    "$literal",
                )
            ),
        ],
        "$ref": "#/$defs/value",
    },
}
"""What the arguments of all classes are made of."""


class Named(NamedTuple):
    """The classes and functions that a config may name, each by the path that is its name here.

    Args:
        found: Them.
        paths: The dotted paths by which each can be named.
        takes: What stands beside ``class`` for each of which that can be told.
        short: By role, what each short name means.
    """

    found: dict[str, Any]
    paths: dict[str, list[str]]
    takes: dict[str, Schema]
    short: dict[str, dict[str, str]]

    @property
    def meant(self) -> dict[str, set[str]]:
        """What each short name means in any role."""
        found: dict[str, set[str]] = {}
        for words in self.short.values():
            for word, path in words.items():
                found.setdefault(word, set()).add(path)
        return found

    def offered(self, role: Role) -> list[str]:
        """The short names of a role that an editor offers: of the classes that are made for it."""
        words = self.short[role.name]
        has_classes = any(inspect.isclass(self.found[path]) for path in words.values())
        return [
            word
            for word, path in words.items()
            if inspect.isclass(target := self.found[path]) or not has_classes
            if role_misfit(role, target) is None and target not in classes_named(role.bases)
            if role.name != "losses" or not path.startswith("torch.nn.") or word.endswith("Loss")
        ]


@cache
def named_in_configs() -> Named:
    """Everything that editors are told of."""
    named = Named({}, {}, {}, {})
    allowlist = Allowlist()
    names: dict[int, str] = {}
    homes = [
        (role, one) for role in ROLES.values() for h in role.search_paths for one in modules_of(h)
    ]
    homes += [(ANYTHING, importlib.import_module(path)) for path in BY_PATH]
    for role, module in homes:
        for word, target in _callables_of(module, allowlist):
            path = f"{module.__name__}.{word}"
            name = names.setdefault(id(target), path)
            if name == path and (takes := _arguments_of(target, role, name)) is not None:
                named.takes[name] = takes
            named.found[name] = target
            named.paths.setdefault(name, []).append(path)
            if role is not ANYTHING:
                named.short.setdefault(role.name, {}).setdefault(word, name)
    return named


def _callables_of(module: ModuleType, allowlist: Allowlist) -> Iterator[tuple[str, Any]]:
    top = module.__name__.partition(".")[0]
    for name in sorted(dir(module)):
        target = getattr(module, name, None)
        is_private = name.startswith("_") or isinstance(target, ModuleType)
        if is_private or not callable(target) or name_of(target).partition(".")[0] != top:
            continue
        if isinstance(target, type) and issubclass(target, (BaseException, Enum)):
            continue
        if allowlist.stranger_in(target) is None:
            yield name, target


# What a class takes


def _arguments_of(target: Any, role: Role, name: str) -> Schema | None:
    """What stands beside ``class``: the arguments by name, and how many go by position.

    Args:
        target: The class or function.
        role: Whose short name it has.
        name: The name of what is made in the schema.

    Returns:
        None where Python cannot tell the signature.
    """
    first = given_to(role, target)
    target = handing_on_to(target)
    parameters = parameters_of(target)
    if parameters is None:
        return None
    kinds = {parameter.kind for parameter in parameters}
    places = [p.name for p in parameters if p.kind in BY_POSITION]
    given = places[: len(first)]
    by_name = _by_name(target, given)
    made: Schema = {"kwargs": by_name}
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        made["args"] = {"maxItems": max(len(places) - len(given), 0)}
    if role.kind == SCHEDULER:
        for key in LENGTHS:
            if key in by_name["properties"]:
                told = by_name["properties"][key]
                by_name["properties"][key] = {"anyOf": [told, {"const": AUTO}]}
    if role.kind == OPTIMIZER:
        same = {"$ref": f"#/$defs/{name}/properties/kwargs"}
        made["parameters"] = {"items": {"properties": {"kwargs": same}}}
    return {"properties": made}


def arguments_of_loaders() -> Schema:
    """What a loader factory hands on to ``DataLoader``."""
    return _by_name(DataLoader, LOADER_GIVEN)


def _by_name(target: Any, given: Iterable[str]) -> Schema:
    behind = behind_of(target)
    known = _known_arguments(target)
    names = [p.name for p in parameters_of(target) or () if p.kind in BY_NAME]
    told = _descriptions(target)
    properties: Schema = {}
    silent = []
    for name in dict.fromkeys((*names, *behind.names)):
        if name in given:
            continue
        if name not in known:
            silent.append(name)
            continue
        properties[name] = _argument(target, known[name])
        if name in told:
            properties[name]["description"] = told[name]
    made: Schema = {"properties": properties, "additionalProperties": behind.more}
    # Taken, and not offered: what is said of every metric, and earlier names.
    return {**made, "patternProperties": {f"^({'|'.join(silent)})$": {}}} if silent else made


class _Argument(NamedTuple):
    parameter: inspect.Parameter
    hint: Any


def _known_arguments(target: Any) -> dict[str, _Argument]:
    """The arguments of a class or function, and of what it hands on to, by name."""
    bases = target.__mro__ if inspect.isclass(target) else ()
    makers = [base for base in bases if "__init__" in vars(base) and base is not object]
    found: dict[str, _Argument] = {}
    for one in (target, *makers):
        found = {**_arguments(one), **found}
    for name, parameter in (handed_on(target) or {}).items():
        if parameter is not None and name not in found:
            found[name] = _Argument(parameter, _hint(target, parameter.annotation))
    return found


def _arguments(target: Any) -> dict[str, _Argument]:
    found = {}
    for parameter in parameters_of(target) or ():
        if parameter.kind in (*BY_POSITION, *BY_NAME):
            found[parameter.name] = _Argument(parameter, _hint(target, parameter.annotation))
    return found


def _hint(target: Any, annotation: Any) -> Any:
    """An annotation as a type; ``Any`` where it is none, or cannot be told."""
    if annotation is inspect.Parameter.empty:
        return Any
    function = inspect.unwrap(target.__init__ if inspect.isclass(target) else target)
    scope = getattr(function, "__globals__", {})
    alone = type("", (), {"__annotations__": {"": annotation}})
    try:
        return typing.get_type_hints(alone, scope)[""]
    except Exception:  # what it names may be known to type checkers only
        return Any


def _argument(target: Any, argument: _Argument) -> Schema:
    default = argument.parameter.default
    parts = _alternatives(argument.hint)
    if argument.parameter.name == "reduction" and name_of(target).startswith(_LOSSES):
        words = (*_REDUCTIONS, "batchmean") if "KLDiv" in name_of(target) else _REDUCTIONS
        parts = [{"enum": list(words)}]
    if parts is not None and default is None:
        parts.append({"type": "null"})
    has_default = default is not inspect.Parameter.empty and _is_json(default)
    if parts is not None and has_default and not any(_fits(part, default) for part in parts):
        parts = None  # an annotation that its own default does not fit tells nothing
    made = {"$ref": "#/$defs/value"} if parts is None else _one_of(parts)
    if has_default:
        made = {**made, "default": default}
    return made


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, Enum)


def _fits(part: Schema, value: Any) -> bool:
    if "enum" in part:
        return value in part["enum"]
    known = {
        **{"boolean": bool, "number": (int, float), "string": str, "null": type(None)},
        **{"array": (list, tuple), "object": dict},
    }
    return isinstance(value, known[part["type"]])


def _one_of(parts: list[Schema]) -> Schema:
    """One of several types, an object, or a variable."""
    plain = list(dict.fromkeys(part["type"] for part in parts if part.keys() == {"type"}))
    others = [part for part in parts if part.keys() != {"type"}]
    if plain == ["null"] and others and "enum" in others[0]:
        plain, others = [], [{"enum": [*others[0]["enum"], None]}, *others[1:]]
    if not others and plain:
        name = " or ".join(plain)
        SHARED.setdefault(name, {"anyOf": [{"type": plain if plain[1:] else plain[0]}, _MADE]})
        return {"$ref": f"#/$defs/{name.replace(' ', '%20')}"}
    known = {json.dumps(part): part for part in others}
    types_ = [{"type": plain if plain[1:] else plain[0]}] if plain else []
    return {"anyOf": [*types_, *known.values(), _MADE]} if parts else _MADE


_MADE: Schema = {"$ref": "#/$defs/made"}
_PLAIN = {bool: "boolean", int: "number", float: "number", str: "string", type(None): "null"}
_LISTS = (
    list,
    tuple,
    collections.abc.Sequence,
    collections.abc.Iterable,
    collections.abc.Collection,
)


def _alternatives(hint: Any) -> list[Schema] | None:
    """The plain values of a type; None where it may be any, empty where only an object is one."""
    if hint is Any or hint is object or isinstance(hint, (typing.TypeVar, str)):
        return None
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        several = [_alternatives(one) for one in inner]
        if any(one is None for one in several):
            return None
        return [part for one in several for part in one or ()]
    if origin is typing.Annotated:
        return _alternatives(inner[0])
    if origin is Literal:
        # Of two types with the same values Python keeps one: their order is that of who came first.
        return [{"enum": sorted(inner, key=lambda value: (value is None, repr(value)))}]
    if hint in _PLAIN:
        return [{"type": _PLAIN[hint]}]
    kind = origin or hint
    if kind in _LISTS:
        return [_list_of(kind, inner)]
    if kind in (dict, collections.abc.Mapping, collections.abc.MutableMapping):
        return [{"type": "object"}]
    if inspect.isclass(kind) and issubclass(kind, os.PathLike):
        return [{"type": "string"}]
    if inspect.isclass(kind) and issubclass(kind, Enum) and kind.__name__.endswith("_Weights"):
        whole = {"type": "string", "pattern": rf"^{kind.__name__}\."}
        return [{"enum": list(kind.__members__)}, whole]
    return [] if inspect.isclass(kind) else None


def _list_of(kind: Any, inner: tuple[Any, ...]) -> Schema:
    made: Schema = {"type": "array"}
    is_fixed = kind is tuple and inner and inner[-1] is not Ellipsis
    each = {json.dumps(_of(one)): _of(one) for one in inner if one is not Ellipsis}
    if len(each) == 1:
        made["items"] = next(iter(each.values()))
    if is_fixed:
        made["minItems"] = made["maxItems"] = len(inner)
    return made


def _of(hint: Any) -> Schema:
    parts = _alternatives(hint)
    return {"$ref": "#/$defs/value"} if parts is None else _one_of(parts)


def _descriptions(target: Any) -> dict[str, str]:
    """What the docstring of a class of ours says of its arguments."""
    if name_of(target).partition(".")[0] != "torchassistant":
        return {}
    text = inspect.getdoc(target) or ""
    found = re.search(r"^Args:\n((?:^(?: .*)?\n?)*)", text, flags=re.MULTILINE)
    entries = (
        re.findall(r"^ {4}\*{0,2}(\w+): ((?:.*\n?)(?:^ {8}.*\n?)*)", found[1], re.M)
        if found
        else []
    )
    return {name: " ".join(told.split()) for name, told in entries}
