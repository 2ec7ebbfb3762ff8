"""No line of the package asks an object of the user whether it is true, or equal, or hashes it.

Types are taken from the annotations of the package: of arguments, attributes and results, and of
what names are assigned from. Where they leave open that something is an object of the user, its
truth may not be asked for (``is None`` says what is meant), and it may be told from others by
``is`` and ``id`` only. ``config`` never meets such an object, and is left out.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "torchassistant"

Annotation = ast.expr
ANY = ast.Name("Any")

# Whose objects may be of a class of the user, which may have any method.
USERS = {"Module", "Optimizer", "LRScheduler", "Dataset", "IterableDataset", "Sampler", "Callable"}
OPEN = {*USERS, "Any", "object", "BaseException"}
# Attributes of what may be anything that torch, NumPy and Python know as numbers, texts or truth
# values.
PLAIN_ATTRIBUTES = {
    *("c_contiguous", "complete", "filename", "index", "is_complex", "is_cpu", "is_quantized"),
    *("is_floating_point", "is_sparse", "isnative", "json", "ndim", "num_workers", "profile"),
    *("persistent_workers", "pin_memory", "preflight", "requires_grad", "strerror", "writeable"),
}
# These are right as they are, for the reason that stands with them.
ALLOWED = {
    ("assembly/signatures.py", "args"): "a list of the config",
    ("data/cache/table.py", "layout[1]"): "a number",
    (
        "data/loader_factory.py",
        "kwargs.get('num_workers')",
    ): "a number or a text: others are refused",
    ("data/loader_factory.py", "size"): "a number, or None: torch refuses others",
    ("data/workers.py", "_Waiting.check"): "a function of our own",
    ("data/workers.py", "status"): "the exit status of a process",
    ("ownership.py", "distribution.read_text('RECORD')"): "a text, or None",
    ("ownership.py", "distribution.read_text('installed-files.txt')"): "a text, or None",
    ("session/changes/apply_changes.py", "before"): "rows of the history",
    ("session/changes/changes.py", "Change.before"): "values of the config",
    ("session/changes/changes.py", "Change.after"): "values of the config",
    (
        "session/preflight/step_trial.py",
        "{name: o for name, o in session.optimizers.items() if is_among(o, used)}",
    ): "its keys are names",
    (
        "session/preflight/report_parts.py",
        "{name: _groups(o) for name, o in session.optimizers.items()}",
    ): "its keys are names",
    (
        "session/changes/param_group_changes.py",
        "{n: [dict(g) for g in o.param_groups] for n, o in session.optimizers.items()}",
    ): "its keys are names",
    ("session/state/state.py", "self.made_anew(key)"): "a truth value",
    ("training/content_snapshots.py", "value.closed"): "of a file of Python's",
    ("training/state_guard.py", "value.closed"): "of a file of Python's",
    ("training/progress.py", "PassProgress.data"): "what a checkpoint can hold",
}


class House:
    """What the package says of its names."""

    def __init__(self, trees: dict[str, ast.Module]) -> None:
        self.aliases: dict[str, Annotation] = {}
        self.attributes: dict[str, list[Annotation]] = defaultdict(list)
        self.of_class: dict[tuple[str, str], list[Annotation]] = defaultdict(list)
        self.made: dict[tuple[str, str], list[tuple[ast.expr, ast.FunctionDef]]] = defaultdict(list)
        self.of_config: set[str] = set()
        self.results: dict[str, list[Annotation]] = defaultdict(list)
        self.of_module: dict[tuple[str, str], list[Annotation]] = defaultdict(list)
        self.classes: set[str] = set()
        for place, tree in trees.items():
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    self._read_class(node, place.startswith("config"))
                elif isinstance(node, ast.FunctionDef) and node.returns is not None:
                    self.results[node.name].append(node.returns)
                    self.of_module[place, node.name].append(node.returns)
            for node in tree.body:
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    self.aliases[node.targets[0].id] = node.value

    def _read_class(self, node: ast.ClassDef, is_config: bool) -> None:
        self.classes.add(node.name)
        for item in node.body:
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                self._add(node.name, item.target.id, item.annotation, is_config)
            elif isinstance(item, ast.FunctionDef):
                if item.decorator_list and item.returns is not None:
                    self._add(node.name, item.name, item.returns, is_config)
                arguments = {a.arg: a.annotation for a in _arguments(item)}
                for target, value, annotation in _assignments(_inside(item.body)):
                    if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self":
                        told = annotation or arguments.get(_kept(value))
                        if told is not None:
                            self._add(node.name, target.attr, told, is_config)
                        elif value is not None:
                            self.made[node.name, target.attr].append((value, item))

    def _add(self, kind: str, name: str, annotation: Annotation, is_config: bool) -> None:
        if is_config:
            self.of_config.add(name)
        else:
            self.attributes[name].append(annotation)
            self.of_class[kind, name].append(annotation)

    def alternatives(self, annotation: Annotation) -> Iterator[Annotation]:
        """The parts of a union, with what aliases stand for."""
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            annotation = ast.parse(annotation.value, mode="eval").body
        if isinstance(annotation, ast.BinOp):
            yield from self.alternatives(annotation.left)
            yield from self.alternatives(annotation.right)
        elif isinstance(annotation, ast.Name) and annotation.id in self.aliases:
            if annotation.id not in self.classes:
                yield from self.alternatives(self.aliases[annotation.id])
        else:
            yield annotation

    def is_open(self, annotation: Annotation, names: set[str] = OPEN) -> bool:
        """Whether what is annotated so may be an object of the user."""
        return any(self._may_be(one, names) for one in self.alternatives(annotation))

    def _may_be(self, one: Annotation, names: set[str]) -> bool:
        if isinstance(one, ast.Subscript):
            head = _last(one.value)
            if head in ("Sequence", "Collection", "Iterable", "Mapping"):
                # Whoever gives "a sequence of anything" may give an array.
                return "Any" in names and _last(_items(one)) == "Any" and head != "Mapping"
            return head in names
        return _last(one) in names


class Scope:
    """What is known of the names in a function, or in a module."""

    def __init__(
        self, house: House, node: ast.AST, outer: Scope | None, place: str, kind: str = ""
    ) -> None:
        self.house, self.outer, self.place, self.kind = house, outer, place, kind
        self.annotated: dict[str, Annotation | None] = {}
        self.assigned: dict[str, list[ast.expr]] = defaultdict(list)
        self.taken_from: dict[str, list[ast.expr]] = defaultdict(list)
        self.checked: set[str] = set()  # by isinstance, for a class that is not the user's
        self._waiting: set[str] = set()
        for argument in _arguments(node):
            self.annotated[argument.arg] = argument.annotation
        body = getattr(node, "body", [])
        body = body if isinstance(body, list) else [body]
        inside = [*_inside(body)]
        for target, value, annotation in _assignments(inside):
            if isinstance(target, ast.Name):
                if annotation is not None:
                    self.annotated[target.id] = annotation
                elif value is not None:
                    self.assigned[target.id].append(value)
        for item in inside:
            if isinstance(item, (ast.For, ast.comprehension)):
                for name, taken in _taken(item.target, item.iter):
                    self.taken_from[name].append(taken)
            if isinstance(item, ast.Call) and ast.unparse(item.func) == "isinstance":
                self.checked.add(ast.unparse(item.args[0]))

    def types(self, node: ast.expr) -> list[Annotation]:
        """What an expression may be; empty where nothing is said of it."""
        if isinstance(node, ast.NamedExpr):
            return self.types(node.value)
        if isinstance(node, ast.BoolOp):
            return [one for value in node.values for one in self.types(value)]
        if isinstance(node, ast.IfExp):
            return self.types(node.body) + self.types(node.orelse)
        if isinstance(node, ast.Name):
            is_known = node.id in self.checked or node.id.startswith(("is_", "are_", "has_"))
            return [] if is_known else self._of_name(node.id)
        if isinstance(node, ast.Attribute):
            return self._of_attribute(node)
        if isinstance(node, ast.Subscript):
            is_part = isinstance(node.slice, ast.Slice)
            return [] if is_part else self._items_of(node.value, is_walked=False)
        if isinstance(node, ast.Call):
            return self._of_call(node)
        return []

    def _of_name(self, name: str) -> list[Annotation]:
        if name in self.annotated:
            told = self.annotated[name]
            return [] if told is None else [told]
        if name in self._waiting:
            return []
        self._waiting.add(name)
        try:
            if name in self.assigned or name in self.taken_from:
                found = [one for value in self.assigned[name] for one in self.types(value)]
                for value in self.taken_from[name]:
                    found += self._items_of(value)
                return found
        finally:
            self._waiting.discard(name)
        return [] if self.outer is None else self.outer._of_name(name)

    def _of_attribute(self, node: ast.Attribute) -> list[Annotation]:
        if node.attr in ("__cause__", "__context__"):
            return [ast.Name("BaseException")]
        if node.attr in PLAIN_ATTRIBUTES or node.attr.startswith("__"):
            return []
        is_own = ast.unparse(node.value) == "self"
        kinds = [self.kind] if is_own else [_last(one) for one in self.types(node.value)]
        known = [one for kind in kinds for one in self.house.of_class.get((kind, node.attr), [])]
        if known:
            return known
        if is_own and (self.kind, node.attr) in self.house.made and node.attr not in self._waiting:
            found: list[Annotation] = []
            for value, maker in self.house.made[self.kind, node.attr]:
                scope = Scope(self.house, maker, self.outer, self.place, self.kind)
                scope._waiting = self._waiting | {node.attr}
                found += scope.types(value)
            return found
        if not is_own and node.attr in self.house.of_config:
            return []
        if node.attr in self.house.attributes:
            return self.house.attributes[node.attr]
        is_anything = any(_last(one) == "Any" for one in self.types(node.value))
        return [ANY] if is_anything and not is_own else []

    def _of_call(self, node: ast.Call) -> list[Annotation]:
        name = _last(node.func)
        if isinstance(node.func, ast.Name):
            if name == "getattr":
                wanted = node.args[1]
                is_dunder = isinstance(wanted, ast.Constant) and str(wanted.value)[:2] == "__"
                return [] if is_dunder else [ANY]
            if name == "next":
                return self._items_of(node.args[0])
            if name in ("iter", "list", "sorted", "reversed", "tuple", "set") and node.args:
                items = self._items_of(node.args[0])
                return [ast.Subscript(ast.Name("list"), one) for one in items]
        if isinstance(node.func, ast.Attribute) and name in ("get", "pop", "setdefault"):
            return self._items_of(node.func.value, is_walked=False)
        if isinstance(node.func, ast.Attribute) and name == "values":
            values = self._items_of(node.func.value, is_walked=False)
            return [ast.Subscript(ast.Name("list"), one) for one in values]
        if name in self.house.classes:
            return []
        here = self.house.of_module.get((self.place, name))
        return self.house.results.get(name, []) if here is None else here

    def _items_of(self, node: ast.expr, is_walked: bool = True) -> list[Annotation]:
        """What is in a container; of a mapping its keys, where it is walked through."""
        if isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp)):
            return self.types(node.elt)
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            return [
                one
                for item in node.elts
                for one in (
                    self._items_of(item.value)
                    if isinstance(item, ast.Starred)
                    else self.types(item)
                )
            ]
        found = []
        if isinstance(node, ast.Name) and node.id not in (*self.annotated, *self._waiting):
            self._waiting.add(node.id)
            for value in self.assigned[node.id]:
                if isinstance(value, (ast.List, ast.Tuple, ast.Set, ast.ListComp, ast.SetComp)):
                    found += self._items_of(value)
            self._waiting.discard(node.id)
        for whole in self.types(node):
            for one in self.house.alternatives(whole):
                if isinstance(one, ast.Subscript):
                    found.append(_items(one, keys=is_walked))
                elif _last(one) == "Any":
                    found.append(ANY)
        return found


def _items(annotation: ast.Subscript, keys: bool = False) -> Annotation:
    """Of a container: what is in it; of a mapping, its keys or its values."""
    inner = annotation.slice
    if isinstance(inner, ast.Tuple) and inner.elts:
        return inner.elts[0] if keys or _last(annotation.value) == "tuple" else inner.elts[-1]
    return inner


def _taken(target: ast.expr, walked: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """The names that take what is walked through, each with what its values are the items of."""
    if isinstance(target, ast.Name):
        yield target.id, walked
    elif isinstance(target, ast.Tuple) and isinstance(walked, ast.Call):
        how = _last(walked.func)
        if how == "items" and isinstance(walked.func, ast.Attribute):
            mapping = walked.func.value
            values = ast.Call(ast.Attribute(mapping, "values"), [], [])
            yield from _taken(target.elts[0], mapping)
            yield from _taken(target.elts[-1], values)
        elif how == "enumerate":
            yield from _taken(target.elts[-1], walked.args[0])
        elif how == "zip":
            for one, given in zip(target.elts, walked.args, strict=False):
                yield from _taken(one, given)


def _kept(value: ast.expr | None) -> str:
    """The name of what is kept, as itself or as a copy: ``x``, ``dict(x)``, ``list(x)``."""
    if isinstance(value, ast.Call) and len(value.args) == 1:
        is_copy = ast.unparse(value.func) in ("dict", "list", "tuple")
        return _kept(value.args[0]) if is_copy else ""
    return value.id if isinstance(value, ast.Name) else ""


def _last(node: ast.expr) -> str:
    """The last part of a dotted name."""
    if isinstance(node, ast.Subscript):
        return _last(node.value)
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _arguments(node: ast.AST) -> list[ast.arg]:
    given = getattr(node, "args", None)
    if not isinstance(given, ast.arguments):
        return []
    return [*given.posonlyargs, *given.args, *given.kwonlyargs]


def _inside(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Everything in a body but the bodies of functions and classes in it."""
    waiting = [*body][::-1]
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Lambda)):
            waiting += [*ast.iter_child_nodes(node)][::-1]


def _assignments(
    nodes: Iterable[ast.AST],
) -> Iterator[tuple[ast.expr, ast.expr | None, Annotation | None]]:
    for node in nodes:
        if isinstance(node, ast.AnnAssign):
            yield node.target, node.value, node.annotation
        elif isinstance(node, ast.NamedExpr):
            yield node.target, node.value, None
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                yield from _paired(target, node.value)


def _paired(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr, None]]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, other in zip(target.elts, value.elts, strict=False):
            yield from _paired(one, other)
    else:
        yield target, value, None


def truths(node: ast.AST) -> list[ast.expr]:
    """Expressions whose truth a node asks for."""
    if isinstance(node, ast.BoolOp):
        return node.values[:-1]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return [node.operand]
    if isinstance(node, (ast.If, ast.While, ast.IfExp, ast.Assert)):
        return _decisive(node.test)
    if isinstance(node, ast.comprehension):
        return [one for test in node.ifs for one in _decisive(test)]
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "bool":
        return list(node.args)
    return []


def _decisive(test: ast.expr) -> list[ast.expr]:
    return _decisive(test.values[-1]) if isinstance(test, ast.BoolOp) else [test]


def compared(node: ast.AST, scope: Scope) -> Iterator[Annotation]:
    """What a node compares by ``==``, or looks for, or puts among things that are hashed."""
    if isinstance(node, ast.Compare):
        for left, operator, right in zip(
            [node.left, *node.comparators], node.ops, node.comparators, strict=False
        ):
            if isinstance(operator, (ast.Eq, ast.NotEq)):
                yield from (*scope.types(left), *scope.types(right))
            elif isinstance(operator, (ast.In, ast.NotIn)):
                yield from scope.types(left)
    elif isinstance(node, ast.Call) and node.args:
        if ast.unparse(node.func) in ("set", "frozenset", "dict.fromkeys", "Counter"):
            yield from scope._items_of(node.args[0])
        elif _last(node.func) in ("index", "remove", "count", "add", "setdefault"):
            yield from scope.types(node.args[0])
    elif isinstance(node, ast.DictComp):
        yield from scope.types(node.key)
    elif isinstance(node, ast.SetComp):
        yield from scope.types(node.elt)
    elif isinstance(node, (ast.Dict, ast.Set)):
        for item in node.keys if isinstance(node, ast.Dict) else node.elts:
            yield from [] if item is None else scope.types(item)


def complaints(trees: dict[str, ast.Module], looked_at: Collection[str] = ()) -> list[str]:
    """Lines that ask an object of the user.

    Args:
        trees: The modules of a package by path.
        looked_at: Those of them that are looked at; all if there are none.
    """
    house = House(trees)
    found: list[str] = []

    def look(node: ast.AST, scope: Scope, place: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.Lambda)):
                kind = node.name if isinstance(node, ast.ClassDef) else scope.kind
                look(child, Scope(house, child, scope, place, kind), place)
                continue
            for asked in truths(child):
                text = ast.unparse(asked)
                if any(map(house.is_open, scope.types(asked))):
                    tell(child, text, "is asked whether it is true")
            if any(house.is_open(one, USERS) for one in compared(child, scope)):
                tell(child, ast.unparse(child), "compares or hashes")
            if isinstance(child, ast.ClassDef):
                for name in equal(child):
                    tell(child, f"{child.name}.{name}", "is compared, without eq=False")
            look(child, scope, place)

    def equal(node: ast.ClassDef) -> Iterator[str]:
        """The fields that a dataclass compares, and that may be objects of the user."""
        for decorator in map(ast.unparse, node.decorator_list):
            if decorator.startswith("dataclass") and "eq=False" not in decorator:
                for item in node.body:
                    if isinstance(item, ast.AnnAssign) and house.is_open(item.annotation):
                        yield ast.unparse(item.target)

    for place, tree in trees.items():
        if not place.startswith("config") and (not looked_at or place in looked_at):

            def tell(node: ast.AST, text: str, what: str, place: str = place) -> None:
                if (place, text) not in ALLOWED:
                    found.append(f"{place}:{getattr(node, 'lineno', 0)}: {text} {what}")

            look(tree, Scope(house, tree, None, place), place)
    return found


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    """The texts of the package by path."""
    return {
        path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(PACKAGE.rglob("*.py"))
    }


@pytest.fixture(scope="module")
def trees(files: dict[str, str]) -> dict[str, ast.Module]:
    return {place: ast.parse(text) for place, text in files.items()}


def test_nothing_is_asked_of_objects_of_the_user(trees: dict[str, ast.Module]) -> None:
    assert complaints(trees) == []


def test_what_is_allowed_is_still_there(files: dict[str, str]) -> None:
    for place, text in ALLOWED:
        assert text.rpartition(".")[2].replace("'", '"') in files[place], f"{place}: {text}"


# Lines that ask, and what stands in their place.
PLANTED = [
    # The two that were there.
    ("graph/model_calls.py", "self._tapped(model, self._called(model))", "self.forward or model"),
    (
        "data/loader_factory.py",
        'drawn_by = self.kwargs.get("batch_sampler")',
        'drawn_by = self.kwargs.get("batch_sampler") or self.kwargs.get("sampler")',
    ),
    # And others of their kind.
    ("graph/model_calls.py", "if special is None else", "if not special else"),
    (
        "graph/batch_graph.py",
        "is_part_of_one(node.model, self.trained)",
        "node.model in self.trained",
    ),
    ("training/schedulers.py", "is_among(s.optimizer, used)", "s.optimizer in used"),
    ("assembly/pipeline_builder.py", "{id(optimizer): name for", "{optimizer: name for"),
    (
        "training/evaluation/debug_pipeline.py",
        "if self.postprocessor is not None:",
        "if self.postprocessor:",
    ),
    ("graph/processor.py", "if self.adapt_input is not None:", "if self.adapt_input:"),
    (
        "training/losses/losses_and_metrics.py",
        "if self.transformed is None:",
        "if not self.transformed:",
    ),
    ("collators.py", "if not len(batch):", "if not batch:"),
    ("graph/mode.py", "modules = list(modules)", "modules = list(set(modules))"),
    ("training/pipeline.py", "return distinct(parts)", "return list(dict.fromkeys(parts))"),
    (
        "errors.py",
        "error if error.__cause__ is None else error.__cause__",
        "error.__cause__ or error",
    ),
]


def test_lines_that_ask_are_found(files: dict[str, str], trees: dict[str, ast.Module]) -> None:
    changed = {place: files[place] for place, _, _ in PLANTED}
    for place, before, after in PLANTED:
        assert before in changed[place], f"{place}: {before}"
        changed[place] = changed[place].replace(before, after, 1)
    planted = trees | {place: ast.parse(text) for place, text in changed.items()}
    told = {complaint.partition(": ")[0] for complaint in complaints(planted, changed)}
    for place, _, after in PLANTED:
        lines = changed[place].splitlines()
        (number,) = (n for n, line in enumerate(lines, start=1) if after in line)
        assert f"{place}:{number}" in told, after


def test_a_dataclass_that_compares_objects_of_the_user_is_found() -> None:
    text = "@dataclass(frozen=True)\nclass Node:\n    name: str\n    model: nn.Module\n"
    told = "a.py:2: Node.model is compared, without eq=False"
    assert complaints({"a.py": ast.parse(text)}) == [told]
    assert complaints({"a.py": ast.parse(text.replace("True", "True, eq=False"))}) == []
