"""One config merged into another: what an evaluation or inference config changes in a session's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from torchassistant.config.blocks import LIKE
from torchassistant.config.groups.models import AVERAGING
from torchassistant.config.named_objects import form_of, is_object
from torchassistant.config.search_paths import is_one_thing
from torchassistant.config.spec import DEFINITIONS
from torchassistant.config.tree import (
    Past,
    Path,
    Row,
    Table,
    as_tree,
    mark_at,
    place_of,
    remember,
)
from torchassistant.errors import ConfigError, Problem, listing, near

Note = Callable[[str, Path], None]

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
    "loader_factory": ("variable_names", "when_exhausted"),
    "from_pipeline": ("variable_names", "node"),
}
_MAKERS = ("class", "factory_fn")
_DEFINITIONS: Path = ("initialize", "definitions")
_STAGES: Path = ("train", "stages")
_BY_NAME = (("initialize", "pipelines"), ("initialize", "debug_pipelines"))
_INPUTS = {"input_factories", "input_injector", LIKE}
"""What a pipeline has that is there for itself."""


def merge_configs(base: Any, over: Any, file: str = "", note: Note | None = None) -> Any:
    """A whole config with the values of a partial one. Neither is changed.

    - An object is merged key by key; one that is made by something else keeps no arguments.
    - A list of things that have a ``name`` is merged by name; new names are appended.
    - Any other list, and any plain value, replaces what was there.
    - ``{"replace_strategy": "override" | "replace", "override_key": [...], "options": ...}``
      says otherwise: ``override`` merges a list by the given keys, ``replace`` replaces. Objects in
      definitions that are overridden so keep their arguments, whatever they are made by.

    Args:
        base: The whole config.
        over: The partial one.
        file: The name of its file, where no position is known.
        note: Is called with a sentence and a path of the partial one for what it changes, and is
            not there; left out: that is added, and may be found to be wrong later.

    Raises:
        ConfigError: It names an unknown strategy, or fits several things at once.
    """
    return _Merge(over, file, note).merge(base, over, ())


class _Merge:
    def __init__(self, root: Any, file: str, note: Note | None) -> None:
        self.root = root
        self.file = file
        self.note = note
        self.keeps_arguments = False

    def error(self, message: str, path: Path) -> ConfigError:
        return ConfigError(Problem(message, place_of(self.root, path, self.file)))

    def merge(self, base: Any, over: Any, path: Path) -> Any:
        if _is_annotated(over):
            return self.annotated(base, over, path)
        if isinstance(over, dict):
            return self.tables(base if isinstance(base, dict) else Table(), over, path)
        if isinstance(over, list) and isinstance(base, list) and _named(over) and _named(base):
            return self.rows(base, over, ("name",), path)
        if isinstance(over, list) and isinstance(base, list) and self.note and _some_named(over):
            message = 'only some items of this list have a "name", so it cannot be merged by names'
            self.note(message, path)
        return self.plain(over, path)

    def annotated(self, base: Any, over: dict[str, Any], path: Path) -> Any:
        strategy = over.get("replace_strategy", "override")
        if strategy not in STRATEGIES:
            message = f"the replace_strategy is {listing(STRATEGIES)}; found {strategy!r}"
            raise self.error(message, (*path, "replace_strategy"))
        options, inner = over["options"], (*path, "options")
        if strategy == "replace":
            return self.plain(options, inner)
        if path == _DEFINITIONS and "replace_strategy" in over:
            self.keeps_arguments = True
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
        if LIKE in over and over[LIKE] != base.get(LIKE):
            _forget(result, path)
        is_other = form_of(over) != form_of(base) and (form_of(over) or is_object(over))
        # Arguments by name are no value, whatever their names are.
        if is_other and [step for step in path if step != "options"][-1:] != ["kwargs"]:
            result = Table()
        if _is_made_otherwise(base, over):
            for other in _KINDS.keys() & base.keys():
                kept = self.keeps_arguments and other in _MAKERS and over.keys() & {*_MAKERS}
                for part in (other,) if kept else (other, *_KINDS[other]):
                    result.pop(part, None)
        laid = as_tree(over)
        for key in over:
            here = (*path, key)
            if here[:-1] in _BY_NAME and base and key not in base and _is_part(over[key]):
                self.miss(f'the pipeline "{key}"', "a pipeline", here, near(key, base))
                continue
            merged = self.merge(result.get(key), over[key], here)
            old = [Past(result[key], mark_at(result, key))] if key in result else []
            old = [] if old and _is_within(old[0].value, merged) else old
            before = result.past.pop(key, ())
            result.take(laid, key)
            result[key] = merged
            remember(result, key, *before, *old)
        return result

    def miss(self, what: str, whole: str, path: Path, hint: str) -> None:
        """Tell of what is to be changed, and is not there."""
        if self.note is not None:
            self.note(f"{what} is not there to be changed, and this is not {whole}{hint}", path)

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
            elif self.note and keys != ("name",):
                hint = _near_item(item, keys, base)
                self.note(f"nothing has {_keyed(item, keys)}, to be overridden{hint}", here)
            elif path == _DEFINITIONS and _is_partial(item) and self.note:
                hint = _near_item(item, keys, base)
                self.miss(f'"{item["name"]}"', "a whole definition", here, hint)
            else:
                result.put(self.plain(item, here), mark)
        return result


def _keyed(item: Any, keys: tuple[str, ...]) -> str:
    """What names an item."""
    given = item if isinstance(item, dict) else {}
    return " and ".join(f'the {key} "{given.get(key)}"' for key in keys)


def _near_item(item: Any, keys: tuple[str, ...], base: list[Any]) -> str:
    """A clause about items that are named nearly as this one."""
    given = item.get(keys[0]) if isinstance(item, dict) else None
    known = [old.get(keys[0]) for old in base if isinstance(old, dict)]
    names = [name for name in known if isinstance(name, str)]
    return near(given, names) if isinstance(given, str) and len(keys) == 1 else ""


def _forget(table: Table, path: Path) -> None:
    """Take away what was said of something that is now like another.

    Args:
        table: All of it.
        path: Where it stands; elsewhere the key may mean something else.
    """
    above = tuple(step for step in path if step != "options")[:-1]
    if above == _DEFINITIONS:
        table.pop("spec", None)
    elif above in (*_BY_NAME, _STAGES):
        table.clear()


def _is_partial(item: Any) -> bool:
    """Whether a definition says too little to stand for itself."""
    if isinstance(item, dict) and LIKE in item:
        return item.get("group") is None
    if not isinstance(item, dict) or not isinstance(item.get("spec"), dict):
        return True
    group, spec = item.get("group"), item["spec"]
    if group not in DEFINITIONS:
        return group is None  # another is reported as such
    block = DEFINITIONS[group].model_fields["spec"].annotation
    if "class_" in getattr(block, "model_fields", {}) and not _KINDS.keys() & spec.keys():
        return True
    try:
        DEFINITIONS[group].model_validate(item)
    except ValidationError as error:
        return any(found["type"] == "missing" for found in error.errors())
    return False


def _is_part(pipeline: Any) -> bool:
    """Whether a pipeline has no input, and so can only change another."""
    return (
        isinstance(pipeline, dict) and not pipeline.keys() & _INPUTS and "options" not in pipeline
    )


def _is_within(old: Any, new: Any) -> bool:
    """Whether all that a value held was laid under what is there now."""
    if isinstance(old, dict):
        return isinstance(new, dict) and new.keys() >= old.keys()
    if not isinstance(old, list) or not isinstance(new, list) or not old or not _named(old):
        return False
    return _named(new) and [i["name"] for i in new][: len(old)] == [i["name"] for i in old]


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


def _some_named(items: list[Any]) -> bool:
    return any(isinstance(item, dict) and "name" in item for item in items) and not _named(items)


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
