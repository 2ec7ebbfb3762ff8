"""Rules between the keys of one block: what an object is made by, and what excludes what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import islice
from keyword import iskeyword
from typing import Any

from torchassistant.config.automatic_lengths import misplaced_lengths
from torchassistant.config.blocks import Block
from torchassistant.config.checks.resolver import Resolver
from torchassistant.config.checks.unknown import Unknown
from torchassistant.config.checks.view import View
from torchassistant.config.diagnostics import Diagnostics
from torchassistant.config.groups.batch_processors import BatchProcessorSpec
from torchassistant.config.groups.datasets import DatasetSpec
from torchassistant.config.groups.gradient_clippers import GradientClipperSpec
from torchassistant.config.groups.losses_and_metrics import LossSpec
from torchassistant.config.groups.models import AVERAGING, EMA_ONLY, ModelSpec
from torchassistant.config.groups.optimizers import REST, OptimizerSpec, SchedulerSpec
from torchassistant.config.groups.splits import SplitSpec
from torchassistant.config.model_weights import ModelWeightsSpec, misfit_of_rename
from torchassistant.config.module_patterns import PatternSpec
from torchassistant.config.named_objects import ATTRIBUTE, NAMED, OF, TENSOR, form_of, is_object
from torchassistant.config.optimizer_state import OptimizerStateSpec
from torchassistant.config.references import OWNERS
from torchassistant.config.spec import InputFactorySpec
from torchassistant.config.tensor_literals import misfits_of_tensor
from torchassistant.config.tree import Path, items_of, walk
from torchassistant.errors import near, nearest

_OBJECT = ("class", "factory_fn")
_ARGUMENTS = ("args", "kwargs")
_OBJECT_KEYS = (*_OBJECT, *_ARGUMENTS)


def check_blocks(spec: Block, diagnostics: Diagnostics) -> None:
    """Check every block of a config by itself, and every object among arguments."""
    resolver = Resolver(diagnostics)
    for path, block in walk(spec, inside=_blocks_in):
        if not isinstance(block, Block):
            continue
        view = View(block, path, resolver)
        if isinstance(block, DatasetSpec):
            _dataset(view, diagnostics)
        elif isinstance(block, BatchProcessorSpec):
            _batch_processor(view, diagnostics)
        elif isinstance(block, SplitSpec):
            _split(view, diagnostics)
        elif isinstance(block, GradientClipperSpec):
            _gradient_clipper(view, diagnostics)
        elif isinstance(block, InputFactorySpec):
            _input_factory(view, diagnostics)
        elif isinstance(block, PatternSpec):
            _pattern(view, diagnostics)
        elif isinstance(block, ModelSpec):
            _model(view, diagnostics)
        elif isinstance(block, ModelWeightsSpec):
            _model_weights(view, diagnostics)
        elif isinstance(block, OptimizerStateSpec):
            _read_from(view, ("optimizer", "checkpoint"), block.session is not None, diagnostics)
        elif hasattr(block, "class_"):
            _one_of(view, _OBJECT, diagnostics)
            if isinstance(block, SchedulerSpec):
                # What joins a warmup and a scheduler hands no result on.
                _at_most_one_of(view, ("monitor", "warmup"), diagnostics)
                _lengths(view, diagnostics)
            if isinstance(block, OptimizerSpec):
                _optimizer(view, diagnostics)
            if isinstance(block, LossSpec) and not (block.inputs or block.models):
                message = 'expected at least one column, or "models", found none'
                diagnostics.note(message, view.at("inputs"))
        for key in _ARGUMENTS:
            if key in type(block).model_fields:
                _arguments(getattr(block, key), (*path, key), diagnostics)


def _blocks_in(value: Any) -> Iterable[tuple[str | int, Any]]:
    """What a block, a list or a table of blocks holds, but for plain values and arguments."""
    if not isinstance(value, Block):
        return items_of(value)
    items = ((key, getattr(value, name)) for key, name in _names_of(type(value)))
    return [(key, item) for key, item in items if isinstance(item, (Block, list, dict))]


@cache
def _names_of(block: type[Block]) -> list[tuple[str, str]]:
    """The keys of a block, and the names of its fields in Python, but for arguments."""
    fields = block.model_fields.items()
    return [(field.alias or name, name) for name, field in fields if name not in _ARGUMENTS]


def _dataset(view: View, diagnostics: Diagnostics) -> None:
    block = view.block
    _one_of(view, (*_OBJECT, "link", "merge"), diagnostics)
    if (block.link or block.merge) and not block.is_object:
        _no_arguments(view, diagnostics)
    if block.cache_limit is not None and view.cache is None:
        message = '"cache_limit" belongs to "cache"'
        diagnostics.note(message, view.at("cache_limit"), at_key=True)


def _batch_processor(view: View, diagnostics: Diagnostics) -> None:
    block = view.block
    _one_of(view, ("neural_graph", *_OBJECT), diagnostics)
    if block.neural_graph is not None and not (block.class_ or block.factory_fn):
        _no_arguments(view, diagnostics)
    if block.compile and not block.neural_graph:
        message = '"compile" belongs to "neural_graph"'
        diagnostics.note(message, view.at("compile"), at_key=True)


def _model(view: View, diagnostics: Diagnostics) -> None:
    block = view.block
    _one_of(view, (*_OBJECT, "part_of", "average_of"), diagnostics)
    if block.other and not (block.class_ or block.factory_fn):
        _no_arguments(view, diagnostics)
        for key, what in (("memory_format", "format"), ("compressed", "structure")):
            if getattr(block, key) is not None:
                message = f'"{key}" belongs to "{block.other}", whose {what} this model has'
                diagnostics.note(message, view.at(key), at_key=True)
    if block.weights is not None and (why := _why_no_weights(block)) is not None:
        diagnostics.note(why, view.at("weights"), at_key=True)
    if block.part_of and block.path_ is None and view.complete:
        diagnostics.broke('"path" is needed: which part it is', view.path)
    _belong(view, ("path_",), "part_of", diagnostics)
    _belong(view, AVERAGING, "average_of", diagnostics)
    if block.average_of and block.update_bn is not None:
        if block.kind != "swa":
            diagnostics.note(
                '"update_bn" belongs to "kind": "swa"', view.at("update_bn"), at_key=True
            )
        elif block.use_buffers:
            message = "the buffers are averaged, so that no statistics are recomputed"
            diagnostics.note(message, view.at("update_bn"), at_key=True)
    if block.average_of and block.kind == "swa":
        for key in EMA_ONLY:
            if getattr(block, key) is not None:
                message = f'"{key}" belongs to "kind": "ema"'
                diagnostics.note(message, view.at(key), at_key=True)


def _why_no_weights(block: ModelSpec) -> str | None:
    """Why a model can have no weights of its own; None where it can."""
    if block.part_of:
        into = f', with "into": "{block.path_}"' if block.path_ else ""
        return f'a part has the weights of its whole: give them to "{block.part_of}"{into}'
    if block.average_of and block.first != "blend":
        return (
            f'the first update copies "{block.average_of}" over them: give them to that model, or '
            'write "first": "blend"'
        )
    return None


def _model_weights(view: View, diagnostics: Diagnostics) -> None:
    block = view.block
    _read_from(view, ("checkpoint",), block.session is not None, diagnostics)
    if block.factory_fn and not block.from_ and block.model is not None:
        diagnostics.note('"model" belongs to "from"', view.at("model"), at_key=True)
    for index, pair in enumerate(block.rename):
        if view.is_whole("rename", index) and (why := misfit_of_rename(*pair)) is not None:
            diagnostics.broke(why, view.at("rename", index))
    for key in ("include", "exclude"):
        _named_once(view, key, diagnostics)


def _read_from(
    view: View, of_session: Sequence[str], is_session: bool, diagnostics: Diagnostics
) -> None:
    """There is one source; keys that say what of a session is meant are given with one."""
    block = view.block
    _one_of(view, ("from", "factory_fn"), diagnostics)
    if block.from_ is not None and block.factory_fn is None:
        _no_arguments(view, diagnostics)
    if not is_session and (block.from_ or block.factory_fn):
        for key in of_session:
            if getattr(block, key) is not None:
                message = f'"{key}" belongs to "from": "session:PATH"'
                diagnostics.note(message, view.at(key), at_key=True)


def _belong(view: View, names: Sequence[str], owner: str, diagnostics: Diagnostics) -> None:
    """These keys are given only where another one is."""
    if getattr(view, owner) is not None:
        return
    for name in names:
        if getattr(view.block, name) is not None:
            path = view.use(name).path
            diagnostics.note(f'"{path[-1]}" belongs to "{owner}"', path, at_key=True)


def _input_factory(view: View, diagnostics: Diagnostics) -> None:
    block = view.block
    _one_of(view, ("loader_factory", "from_pipeline"), diagnostics)
    if (block.loader_factory is None) == (block.from_pipeline is None):
        return
    wrong = ("when_exhausted",) if block.loader_factory is None else ("node",)
    for key in wrong:
        if getattr(block, key) is not None:
            other = "from_pipeline" if key == "node" else "loader_factory"
            diagnostics.note(f'"{key}" belongs to "{other}"', view.at(key), at_key=True)
    if block.loader_factory is not None and isinstance(block.variable_names, dict):
        message = "the columns of a loader are named by a list"
        diagnostics.broke_wholly(message, view.at("variable_names"))
    elif block.from_pipeline is not None and block.columns is not None:
        message = "the columns of a pipeline have names; an object gives others, by their own"
        diagnostics.broke_wholly(message, view.at("variable_names"))


def _gradient_clipper(view: View, diagnostics: Diagnostics) -> None:
    _one_of(view, ("model", "optimizer"), diagnostics)
    _one_of(view, ("clip_value", "clip_norm"), diagnostics, both=True)
    _named_once(view, "model", diagnostics)


def _lengths(view: View, diagnostics: Diagnostics) -> None:
    """Texts in the place of lengths are "auto", and it stands nowhere else."""
    name = view.block.class_ or ""
    is_torchs = "." not in name or name.startswith("torch.")
    arguments = {"args": view.block.args, "kwargs": view.block.kwargs}
    for where, message in misplaced_lengths(arguments, is_torchs and bool(name)):
        diagnostics.note(message, view.at(*where))


def _pattern(view: View, diagnostics: Diagnostics) -> None:
    _one_of(view, ("match", "types"), diagnostics, both=True)
    for key in ("match", "types"):
        _named_once(view, key, diagnostics)


def _optimizer(view: View, diagnostics: Diagnostics) -> None:
    _named_once(view, "model", diagnostics)
    groups = view.block.parameters
    if not groups and view.rest is False and view.complete:
        message = '"rest" is what none of "parameters" matches, which are not there'
        diagnostics.note(message, view.at("rest"), at_key=True)
    if groups and view.block.factory_fn:
        message = '"parameters" are given to a "class"; a "factory_fn" makes its own groups'
        diagnostics.note(message, view.at("parameters"), at_key=True)
    names = {REST}
    for group in view.parameters:
        if group.block.name in names:
            message = f'another group of this optimizer is named "{group.block.name}"'
            diagnostics.note(message, group.at("name"))
        names.add(group.block.shown_as)
        for key in _NOT_OPTIONS:
            if key in group.block.kwargs:
                message = f'"{key}" of a group is no argument: it follows from the other keys'
                diagnostics.note(message, group.at("kwargs", key), at_key=True)


_NOT_OPTIONS = ("params", "name", "param_names")
"""Keys of a parameter group of torch that are no arguments of its optimizer."""


def _named_once(view: View, key: str, diagnostics: Diagnostics) -> None:
    """No name in a list of names stands there twice."""
    if isinstance(getattr(view.block, key), list):
        for use in getattr(view, key).repeated():
            diagnostics.note(f'"{use.name}" is named twice', use.path)


def _split(view: View, diagnostics: Diagnostics) -> None:
    _one_of(view, ("ratio", "folds"), diagnostics)
    split = view.block
    if split.ratio is not None and view.ratio.complete:
        total = sum(split.ratio)
        if abs(total - 1) > 1e-5:
            message = f"the shares must add up to 1; they add up to {total:g}"
            diagnostics.note(message, view.at("ratio"))
    if split.folds is None and view.is_whole("folds") and view.complete:
        if split.fold is not None:
            diagnostics.note('"fold" belongs to "folds"', view.at("fold"), at_key=True)
        if split.stratify is not None and split.group_by is not None:
            message = 'with "ratio" only one of "stratify" and "group_by" can be given'
            last = diagnostics.last_written(view.path, ["stratify", "group_by"])
            diagnostics.note(message, view.at(last), at_key=True)
    is_known = view.is_whole("folds") and view.is_whole("fold")
    if is_known and None not in (split.folds, split.fold) and split.fold >= split.folds:
        message = f'"fold" counts from 0: the last of {split.folds} is {split.folds - 1}'
        diagnostics.note(f"{message}; found {split.fold}", view.at("fold"))


def _one_of(
    view: View, keys: tuple[str, ...], diagnostics: Diagnostics, both: bool = False
) -> None:
    """One of these keys is given, and no other of them."""
    if all(value is None for value in _values(view, keys).values()):
        diagnostics.broke(f"one of {_quoted(keys)} is needed", view.path)
    elif not both:
        _at_most_one_of(view, keys, diagnostics)


def _at_most_one_of(view: View, keys: tuple[str, ...], diagnostics: Diagnostics) -> None:
    """No two of these keys are given."""
    values = _values(view, keys)
    given = [k for k, v in values.items() if v is not None and not isinstance(v, Unknown)]
    if len(given) > 1:
        also = " and ".join(f'"{key}"' for key in given)
        last = view.at(diagnostics.last_written(view.path, given))
        message = f"only one of {_quoted(keys)} can be given; found {also}"
        diagnostics.note(message, last, at_key=True)


def _values(view: View, keys: tuple[str, ...]) -> dict[str, Any]:
    """What these keys are given; unknown where that cannot be read."""
    uses = {key: view.use(f"{key}_" if iskeyword(key) else key) for key in keys}
    return {key: view.resolver.meaning(use) for key, use in uses.items()}


def _quoted(keys: tuple[str, ...]) -> str:
    return ", ".join(f'"{key}"' for key in keys[:-1]) + f' and "{keys[-1]}"'


def _no_arguments(view: View, diagnostics: Diagnostics) -> None:
    for key in _ARGUMENTS:
        if getattr(view.block, key):
            message = f'"{key}" belongs to "class" or "factory_fn"'
            diagnostics.note(message, view.at(key), at_key=True)


_MOST = 5
"""So many elements of one tensor are reported."""


def _attribute(value: dict[str, str], path: Path, diagnostics: Diagnostics) -> None:
    """An attribute has a public name, and an owner that a definition may be."""
    for step in value[ATTRIBUTE].split("."):
        if not step.isidentifier():
            diagnostics.note(f'"{step}" is no name of an attribute', (*path, ATTRIBUTE))
        elif step.startswith("_"):
            diagnostics.note(f'the attribute "{step}" is private', (*path, ATTRIBUTE))
    group, dot, name = value[OF].partition(".")
    if group not in OWNERS or not name:
        hint = near(group, OWNERS) if dot else ""
        diagnostics.note(
            f'"{value[OF]}" is no definition with attributes: a group and a name are needed, as '
            f'"models.NAME"{hint}',
            (*path, OF),
        )


def _nearly_a_form(value: Any, path: Path, diagnostics: Diagnostics) -> None:
    """What is plain data, and may have been meant otherwise."""
    if not isinstance(value, dict):
        return
    for form in NAMED:
        if value.keys() == {form} and isinstance(value[form], str):
            diagnostics.warn(
                f'"{value[form]}" is not a dotted path, so that this is plain data and no {form}; '
                f'{{"$literal": {{"{form}": …}}}} says that it is meant so',
                (*path, form),
            )
    if isinstance(value.get(ATTRIBUTE), str) and len(value) == 2:
        for key in value.keys() - {ATTRIBUTE}:
            if nearest(key, [OF]):
                diagnostics.note(
                    f'unknown key "{key}"; did you mean "of"?', (*path, key), at_key=True
                )
    if isinstance(value.get(TENSOR), list):
        for key in value.keys() - {TENSOR}:
            if nearest(key, ["dtype"]):
                message = f'unknown key "{key}"; did you mean "dtype"?'
                diagnostics.note(message, (*path, key), at_key=True)


def _arguments(value: Any, path: Path, diagnostics: Diagnostics) -> None:
    """Objects among arguments have the keys of an object, and no others; tensors are tensors.

    Arguments by name are no value themselves, whatever their names are.
    """
    for step, item in items_of(value):
        here = (*path, step)
        form = form_of(item)
        if form == TENSOR:
            for message, below in islice(misfits_of_tensor(item), _MOST):
                diagnostics.note(message, (*here, *below))
        if form == ATTRIBUTE:
            _attribute(item, here, diagnostics)
        if form is not None:
            continue
        _nearly_a_form(item, here, diagnostics)
        if is_object(item):
            _object(item, here, diagnostics)
        else:
            _arguments(item, here, diagnostics)


def _object(value: dict[str, Any], path: Path, diagnostics: Diagnostics) -> None:
    for key in [k for k in value if k not in _OBJECT_KEYS]:
        meant = nearest(key, [k for k in _OBJECT_KEYS if k not in value])
        hint = near(key, _OBJECT_KEYS) if meant else ' (arguments stand under "kwargs")'
        diagnostics.note(f'unknown key "{key}"{hint}', (*path, key), at_key=True)
    if all(key in value for key in _OBJECT):
        last = (*path, diagnostics.last_written(path, _OBJECT))
        diagnostics.note('only one of "class" and "factory_fn" can be given', last, at_key=True)
    for key, kind, words in (("args", list, "a list"), ("kwargs", dict, "an object")):
        if key in value and not isinstance(value[key], kind):
            diagnostics.broke(f"expected {words}", (*path, key))
        _arguments(value.get(key), (*path, key), diagnostics)
