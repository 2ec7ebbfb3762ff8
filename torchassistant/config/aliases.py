"""Names of other releases → the names used here, so that nothing behind this file knows two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torchassistant.config.blocks import LIKE, Block
from torchassistant.config.diagnostics import Diagnostics
from torchassistant.config.groups import GROUPS
from torchassistant.config.groups.batch_graphs import BatchGraphSpec
from torchassistant.config.groups.batch_processors import NodeSpec
from torchassistant.config.spec import (
    DebugPipelineSpec,
    InferenceSpec,
    InputFactorySpec,
    InputMetaSpec,
    PipelineSpec,
    Spec,
)
from torchassistant.config.tree import UNREADABLE, Path, Row, Table, as_tree, like, walk
from torchassistant.earlier_names import METRICS, NAMES
from torchassistant.errors import listing, near, nearest

GROUP_ALIASES = {"data_loaders": "loader_factories"}
INPUT_KEYS = {"data_loader": "loader_factory", "input_port": "input_alias"}
PIPELINE_KEYS = {"input_injector": "input_factories"}
POSTPROCESSOR = "post_processor"
INFERENCE_KEYS = {POSTPROCESSOR: "postprocessor"}
DEBUG_PIPELINE_KEYS = {**PIPELINE_KEYS, **INFERENCE_KEYS}
GRAPH_KEYS = {"input_ports": "input_aliases"}
NODE_KEYS = {"alias": "name"}
INPUT_META_KEYS = {"input_port": "input_alias", "input_adapter": "input_converter"}
_BLOCK_KEYS: dict[type[Block], dict[str, str]] = {
    InputFactorySpec: INPUT_KEYS,
    PipelineSpec: PIPELINE_KEYS,
    DebugPipelineSpec: DEBUG_PIPELINE_KEYS,
    InferenceSpec: INFERENCE_KEYS,
    BatchGraphSpec: GRAPH_KEYS,
    NodeSpec: NODE_KEYS,
    InputMetaSpec: INPUT_META_KEYS,
}
CONVERTER = "input_adapter"
UNUSED_GROUP = "batch_adapters"
DEFINITION_SECTIONS = ("data", "computation", "callbacks")
"""Of earlier releases; an object under the last is a group."""
PATH_KEYS = ("class", "transform")


def apply_aliases(diagnostics: Diagnostics, block: type[Block] = Spec) -> None:
    """Replace every alias by the name that is used here, in place; what does not fit is left alone.

    Args:
        diagnostics: Holds the tree of a training, evaluation or inference config; gets a problem
            where one thing is said under both of its names.
        block: What kind of config it is.
    """
    _rename_classes(diagnostics.tree)
    aliases = _Aliases(diagnostics)
    aliases.config(diagnostics.tree)
    if block is InferenceSpec:
        aliases.converter(diagnostics.tree)


def key_aliases(block: Any) -> dict[str, str]:
    """The aliases of the keys of a block, and the keys."""
    return _BLOCK_KEYS.get(block, {})


def _rename_classes(tree: Any) -> None:
    """Replace paths that classes and functions of ours have in earlier releases."""
    for _, value in walk(tree):
        for key in PATH_KEYS if isinstance(value, dict) else ():
            path = value.get(key)
            if isinstance(path, str) and path in NAMES:
                value[key] = NAMES[path]


class _Aliases:
    def __init__(self, diagnostics: Diagnostics) -> None:
        self.diagnostics = diagnostics

    def config(self, tree: Any) -> None:
        self.keep_prediction(tree)
        self.rename_in_place(tree, INFERENCE_KEYS)
        self.each(tree, (), {"initialize": self.initialize, "train": self.train})
        self.each(tree, (), {"inputs_meta": self.rows(self.renaming(INPUT_META_KEYS))})

    def keep_prediction(self, tree: Any) -> None:
        """What is written as in earlier releases keeps one column, unless it says which."""
        if isinstance(tree, Table) and {POSTPROCESSOR, "inputs_meta"} <= tree.keys():
            self.diagnostics.keeps_prediction = "results" not in tree

    def converter(self, tree: Any) -> None:
        """The input converter of an inference config itself: of its only input.

        Where its inputs have converters, it was of no use in the releases that had these.
        """
        if not isinstance(tree, Table) or CONVERTER not in tree:
            return
        metas = tree.get("inputs_meta", [])
        if isinstance(metas, list) and not metas:
            meta = like(tree)
            meta.take(tree, CONVERTER, as_key="input_converter")
            row = Row()
            row.put(meta, tree.key_marks.get(CONVERTER))
            tree["inputs_meta"] = row
        else:
            message = f'"{CONVERTER}" has no effect, as "inputs_meta" says how inputs are read'
            self.diagnostics.warn(message, (CONVERTER,))
        del tree[CONVERTER]

    def initialize(self, tree: Any, path: Path) -> Any:
        tree = self.each(tree, path, {"definitions": self.unite})
        tree = self.each(tree, path, {"definitions": self.used})
        return self.each(
            tree,
            path,
            {
                "definitions": self.rows(self.definition),
                "pipelines": self.values(self.pipeline),
                "debug_pipelines": self.values(self.debug_pipeline),
            },
        )

    def train(self, tree: Any, path: Path) -> Any:
        stage = {"debug_pipelines": self.rows(self.debug_pipeline)}
        return self.each(
            tree, path, {"stages": self.rows(lambda item, at: self.each(item, at, stage))}
        )

    def unite(self, tree: Any, path: Path) -> Any:
        """Definitions by group and name, or in sections, joined to one list."""
        if not isinstance(tree, Table) or "options" in tree:
            return tree
        known = (*DEFINITION_SECTIONS, *GROUPS, *GROUP_ALIASES)
        if tree and not any(nearest(str(key), known) for key in tree):
            return tree
        groups = [key for key, value in tree.items() if _is_by_name(key, value)]
        listed = like(tree)
        for key in tree:
            if key not in groups:
                listed.take(tree, key)
        whole = self.join_sections(listed, path) if listed else _row_like(tree)
        rows: Row = whole["options"] if isinstance(whole, Table) else whole
        for key in groups:
            self.join_group(tree, key, path, rows)
        return whole

    def join_group(self, tree: Table, key: str, path: Path, rows: Row) -> None:
        """``{"models": {"net": {...}}}``: definitions of one group, by name."""
        known = [*GROUPS, *GROUP_ALIASES]
        group = key if key in known else nearest(str(key), known)
        if group != key:
            clause = f'; did you mean "{group}"?' if group else f"; there are {listing(known, 20)}"
            self.diagnostics.note(f'unknown group "{key}"{clause}', (*path, key), at_key=True)
        specs = tree[key]
        if group is None or not isinstance(specs, Table):
            self.diagnostics.dropped.add(path)
            if group is not None and specs is not UNREADABLE:
                message = "expected an object: the definitions of this group by name"
                self.diagnostics.note(message, (*path, key))
            return
        for name in specs:
            row, mark = Table(), specs.key_marks.get(name)
            row.update(group=group, name=name)
            row.take(specs, name, as_key="spec")
            for word, at in (("group", tree.key_marks.get(key)), ("name", mark)):
                if at is not None:
                    row.key_marks[word] = row.value_marks[word] = at
            row.mark = mark
            rows.put(row, mark)

    def join_sections(self, tree: Table, path: Path) -> Any:
        """``{"data": [...], "computation": [...]}`` joined to one list, in order.

        Where a part says how it is laid over another config, the list does.
        """
        self.diagnostics.in_parts = True
        joined = _row_like(tree)
        laid: list[Table] = []
        sections = {self.section(tree, key, path): key for key in tree}
        for section in DEFINITION_SECTIONS:
            rows = tree[sections[section]] if section in sections else []
            if isinstance(rows, Table) and "options" in rows:
                self.expect_override(rows, laid, (*path, sections[section]))
                laid.append(rows)
                rows = rows["options"]
            if isinstance(rows, list):
                joined.take_all(rows)
            else:
                self.diagnostics.dropped.add(path)
                if rows is not UNREADABLE:
                    self.diagnostics.note("expected a list", (*path, sections[section]))
        if not laid:
            return joined
        whole: Table = as_tree(laid[0])
        whole |= {"replace_strategy": "override", "options": joined}
        return whole

    def used(self, tree: Any, path: Path) -> Any:
        """Definitions without those of a group of which nothing was ever made use."""
        if not isinstance(tree, Row):
            return tree
        result = Row()
        result.mark = tree.mark
        for index, item in enumerate(tree):
            if isinstance(item, Table) and item.get("group") == UNUSED_GROUP:
                message = f'"{UNUSED_GROUP}" have no effect, and are left out'
                self.diagnostics.warn(message, (*path, index, "group"))
                continue
            result.past.update({len(result): p for p in [tree.past.get(index)] if p is not None})
            result.put(item, tree.marks[index])
        return tree if len(result) == len(tree) else result

    def expect_override(self, tree: Table, others: list[Table], path: Path) -> None:
        """Report a part that is laid over another config otherwise than all definitions can be."""
        if tree.get("replace_strategy") != "override":
            message = 'a part of the definitions is laid over by "replace_strategy": "override"'
            self.diagnostics.note(message, path)
        elif any(tree.get("override_key") != other.get("override_key") for other in others):
            self.diagnostics.note('all parts need the same "override_key"', path)

    def section(self, tree: Table, key: str, path: Path) -> str | None:
        """The section that a key is; reported where it is none."""
        if key in DEFINITION_SECTIONS:
            return key
        absent = [section for section in DEFINITION_SECTIONS if section not in tree]
        message = f'unknown key "{key}"{near(str(key), absent or DEFINITION_SECTIONS)}'
        self.diagnostics.note(message, (*path, key), at_key=True)
        meant = nearest(str(key), absent)
        if meant is None:
            self.diagnostics.dropped.add(path)
        return meant

    def definition(self, tree: Any, path: Path) -> Any:
        if not isinstance(tree, Table):
            return tree
        self.expect_one_likeness(tree, path)
        group = tree.get("group")
        if isinstance(group, str) and group in GROUP_ALIASES:
            tree["group"] = group = GROUP_ALIASES[group]
        changes: dict[Any, dict[str, Callable[[Any, Path], Any]]] = {
            "loader_factories": {"spec": self.renaming(INPUT_KEYS)},
            "batch_graphs": {"spec": self.renaming(GRAPH_KEYS)},
            "metrics": {"spec": self.metric},
            None: {"spec": self.processor},
            "batch_processors": {"spec": self.processor},
        }
        known = group if isinstance(group, str) else None
        return self.each(tree, path, changes.get(known, {}) if known == group else {})

    def expect_one_likeness(self, tree: Table, path: Path) -> None:
        """Put ``like`` beside the spec that it stands in."""
        spec = tree.get("spec")
        if not isinstance(spec, Table) or LIKE not in spec:
            return
        if LIKE in tree:
            message = f'"{LIKE}" stands beside the spec too'
            self.diagnostics.note(message, (*path, "spec", LIKE), at_key=True)
        else:
            tree.take(spec, LIKE)
        del spec[LIKE]

    def metric(self, tree: Any, path: Path) -> Any:
        if isinstance(tree, Table) and isinstance(tree.get("class"), str):
            tree["class"] = METRICS.get(tree["class"], tree["class"])
        return tree

    def processor(self, tree: Any, path: Path) -> Any:
        return self.each(tree, path, {"neural_graph": self.rows(self.node)})

    def node(self, tree: Any, path: Path) -> Any:
        tree = self.renaming(NODE_KEYS)(tree, path)
        if isinstance(tree, Table) and tree.get("optimizer_name") == "":
            del tree["optimizer_name"]  # the later releases say so that there is none
        return tree

    def debug_pipeline(self, tree: Any, path: Path) -> Any:
        return self.pipeline(tree, path, DEBUG_PIPELINE_KEYS)

    def pipeline(self, tree: Any, path: Path, keys: dict[str, str] = PIPELINE_KEYS) -> Any:
        tree = self.renaming(keys)(tree, path)
        return self.each(tree, path, {"input_factories": self.rows(self.renaming(INPUT_KEYS))})

    # Walking

    def each(self, tree: Any, path: Path, changes: dict[str, Callable[[Any, Path], Any]]) -> Any:
        if isinstance(tree, Table):
            for key, change in changes.items():
                if key in tree:
                    tree[key] = change(tree[key], (*path, key))
        return tree

    def rows(self, change: Callable[[Any, Path], Any]) -> Callable[[Any, Path], Any]:
        """Apply ``change`` to every item of a list, or of the ``options`` of an overlay."""

        def apply(tree: Any, path: Path) -> Any:
            if isinstance(tree, Table) and isinstance(tree.get("options"), list):
                tree["options"] = apply(tree["options"], (*path, "options"))
            elif isinstance(tree, list):
                tree[:] = [change(item, (*path, index)) for index, item in enumerate(tree)]
            return tree

        return apply

    def values(self, change: Callable[[Any, Path], Any]) -> Callable[[Any, Path], Any]:
        """Apply ``change`` to every value of a table."""

        def apply(tree: Any, path: Path) -> Any:
            return self.each(tree, path, dict.fromkeys(tree, change)) if tree else tree

        return lambda tree, path: apply(tree, path) if isinstance(tree, Table) else tree

    def rename_in_place(self, tree: Any, names: dict[str, str]) -> None:
        """The same for the whole config, which is not replaced."""
        renamed = self.renaming(names)(tree, ())
        if renamed is not tree:
            tree.clear()
            for key in renamed:
                tree.take(renamed, key)

    def renaming(self, names: dict[str, str]) -> Callable[[Any, Path], Any]:
        def rename(tree: Any, path: Path) -> Any:
            if not isinstance(tree, Table) or not names.keys() & tree.keys():
                return tree
            result = like(tree)
            for key in tree:
                ours = names.get(key, key)
                if ours in result or (ours != key and ours in tree):
                    message = f'"{key}" is another name for "{ours}", which is given too'
                    self.diagnostics.note(message, (*path, key), at_key=True)
                    continue
                result.take(tree, key, as_key=ours)
            return result

        return rename


def _is_by_name(key: str, value: Any) -> bool:
    """Whether definitions of a group stand under a key, by name."""
    if isinstance(value, Table):
        return "options" not in value
    return key not in DEFINITION_SECTIONS and (key in GROUPS or key in GROUP_ALIASES)


def _row_like(source: Table) -> Row:
    """An empty row that stands where ``source`` stood."""
    row = Row()
    row.mark = source.mark
    return row
