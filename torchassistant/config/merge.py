"""One config merged into another: what an evaluation or inference config changes in a session's."""

from __future__ import annotations

from typing import Any

from torchassistant.config.groups.models import AVERAGING
from torchassistant.config.named_objects import form_of, is_object
from torchassistant.config.search_paths import is_one_thing
from torchassistant.config.spec import DEFINITIONS
from torchassistant.config.tree import Path, Row, Table, as_tree, place_of
from torchassistant.errors import ConfigError, Problem, listing

STRATEGIES = ("override", "replace")

# One of these says what an object is made by; a new maker does not keep the old one's parts.
_KINDS: dict[str, tuple[str, ...]] = {
    "class": ("args", "kwargs"),
    "factory_fn": ("args", "kwargs"),
    "link": (),
    "merge": (),
    "neural_graph": ("input_adapter", "output_adapter", "compile"),
    "part_of": ("path",),
    "average_of": AVERAGING,
}
_MAKERS = ("class", "factory_fn")


def merge_configs(base: Any, over: Any, file: str = "") -> Any:
    """A whole config with the values of a partial one. Neither is changed.

    - An object is merged key by key; one that is made by something else keeps no arguments.
    - A list of things that have a ``name`` is merged by name; new names are appended.
    - Any other list, and any plain value, replaces what was there.
    - ``{"replace_strategy": "override" | "replace", "override_key": [...], "options": ...}``
      says otherwise: ``override`` merges a list by the given keys, ``replace`` replaces.

    Raises:
        ConfigError: It names an unknown strategy, or fits several things at once.
    """
    return _Merge(over, file).merge(base, over, ())


class _Merge:
    def __init__(self, root: Any, file: str) -> None:
        self.root = root
        self.file = file

    def error(self, message: str, path: Path) -> ConfigError:
        return ConfigError(Problem(message, place_of(self.root, path, self.file)))

    def merge(self, base: Any, over: Any, path: Path) -> Any:
        if _is_annotated(over):
            return self.annotated(base, over, path)
        if isinstance(over, dict):
            return self.tables(base if isinstance(base, dict) else Table(), over, path)
        if isinstance(over, list) and isinstance(base, list) and _named(over) and _named(base):
            return self.rows(base, over, ("name",), path)
        return self.plain(over, path)

    def annotated(self, base: Any, over: dict[str, Any], path: Path) -> Any:
        strategy = over.get("replace_strategy", "override")
        if strategy not in STRATEGIES:
            message = f"the replace_strategy is {listing(STRATEGIES)}; found {strategy!r}"
            raise self.error(message, (*path, "replace_strategy"))
        options, inner = over["options"], (*path, "options")
        if strategy == "replace":
            return self.plain(options, inner)
        if isinstance(options, list):
            key = over.get("override_key", "name")
            keys = (key,) if isinstance(key, str) else tuple(key)
            return self.rows(base if isinstance(base, list) else Row(), options, keys, inner)
        return self.merge(base, options, inner)

    def plain(self, over: Any, path: Path) -> Any:
        """A value that replaces what was there; strategies inside it have nothing to merge with."""
        if _is_annotated(over):
            return self.annotated(None, over, path)
        if isinstance(over, dict):
            return self.tables(Table(), over, path)
        if isinstance(over, list):
            row = as_tree(over)
            row[:] = [self.plain(item, (*path, index)) for index, item in enumerate(over)]
            return row
        return over

    def tables(self, base: dict[str, Any], over: dict[str, Any], path: Path) -> Table:
        result: Table = as_tree(base)
        is_other = form_of(over) != form_of(base) and (form_of(over) or is_object(over))
        # Arguments by name are no value, whatever their names are.
        if is_other and [step for step in path if step != "options"][-1:] != ["kwargs"]:
            result = Table()
        if _is_made_otherwise(base, over):
            for other in _KINDS.keys() & base.keys():
                for part in (other, *_KINDS[other]):
                    result.pop(part, None)
        for key in over:
            merged = self.merge(result.get(key), over[key], (*path, key))
            result.take(as_tree(over), key)
            result[key] = merged
        return result

    def rows(self, base: list[Any], over: list[Any], keys: tuple[str, ...], path: Path) -> Row:
        result: Row = as_tree(base)
        marks = over.marks if isinstance(over, Row) else [None] * len(over)
        for index, (item, mark) in enumerate(zip(over, marks, strict=True)):
            here = (*path, index)
            fits = [i for i, old in enumerate(result) if _same(old, item, keys)]
            if len(fits) > 1:
                named = ", ".join(f"{key} {item.get(key)!r}" for key in keys)
                raise self.error(f"several things have {named}; say which by its group", here)
            if fits:
                result[fits[0]] = self.merge(result[fits[0]], item, here)
                result.marks[fits[0]] = mark
            else:
                result.put(self.plain(item, here), mark)
        return result


def _is_made_otherwise(base: dict[str, Any], over: dict[str, Any]) -> bool:
    """Whether what is merged into an object says that it is made by something else."""
    for kind in _KINDS.keys() & over.keys():
        old, new = base.get(kind), over[kind]
        if kind not in base:
            return True
        if kind in _MAKERS and isinstance(old, str) and isinstance(new, str):
            return not is_one_thing(old, new)
    return False


def _is_annotated(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and "options" in value
        and ("replace_strategy" in value or "override_key" in value)
    )


def _named(items: list[Any]) -> bool:
    return all(isinstance(item, dict) and "name" in item for item in items)


def _same(old: Any, new: Any, keys: tuple[str, ...]) -> bool:
    """Whether two items are one thing. Names are unique in a group, so the group counts too."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return False
    if "name" in keys and _are_of_other_groups(old, new):
        return False
    return all(key in old and key in new and old[key] == new[key] for key in keys)


def _are_of_other_groups(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether two definitions are of two groups; one that is none (reported) is any."""
    if "group" not in new or "group" not in old or old["group"] == new["group"]:
        return False
    group = new["group"]
    return not isinstance(group, str) or group in DEFINITIONS
