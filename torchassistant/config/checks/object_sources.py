"""Rules between the keys of one block: what an object is made by, and what excludes what."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from torchassistant.config.blocks import Block
from torchassistant.config.diagnostics import Diagnostics
from torchassistant.config.groups.batch_processors import BatchProcessorSpec
from torchassistant.config.groups.datasets import DatasetSpec
from torchassistant.config.groups.gradient_clippers import GradientClipperSpec
from torchassistant.config.groups.splits import SplitSpec
from torchassistant.config.named_objects import NAMED, TENSOR, form_of, is_object
from torchassistant.config.tensors import misfits_of_tensor
from torchassistant.config.tree import Path
from torchassistant.errors import near, nearest

_OBJECT = ("class", "factory_fn")
_OBJECT_KEYS = (*_OBJECT, "args", "kwargs")


def check_sources(spec: Block, diagnostics: Diagnostics) -> None:
    """Check every block of a config by itself, and every object among arguments."""
    for path, block in _blocks(spec, ()):
        if isinstance(block, DatasetSpec):
            _one_of(block, (*_OBJECT, "link", "merge"), path, diagnostics)
            if (block.link or block.merge) and not (block.class_ or block.factory_fn):
                _no_arguments(block, path, diagnostics)
            is_alone = block.cache_limit is not None and block.cache is None
            if is_alone and diagnostics.is_whole((*path, "cache")):
                diagnostics.note('"cache_limit" belongs to "cache"', (*path, "cache_limit"), True)
        elif isinstance(block, BatchProcessorSpec):
            _one_of(block, ("neural_graph", *_OBJECT), path, diagnostics)
            if block.neural_graph and not (block.class_ or block.factory_fn):
                _no_arguments(block, path, diagnostics)
            elif block.compile and not block.neural_graph:
                message = '"compile" belongs to "neural_graph"'
                diagnostics.note(message, (*path, "compile"), at_key=True)
        elif hasattr(block, "class_"):
            _one_of(block, _OBJECT, path, diagnostics)
        elif isinstance(block, SplitSpec):
            _adds_up(block, (*path, "ratio"), diagnostics)
        elif isinstance(block, GradientClipperSpec):
            _one_of(block, ("clip_value", "clip_norm"), path, diagnostics, both=True)
        for key in ("args", "kwargs"):
            _arguments(getattr(block, key, None), (*path, key), diagnostics)


def _adds_up(split: SplitSpec, path: Path, diagnostics: Diagnostics) -> None:
    total = sum(split.ratio)
    if abs(total - 1) > 1e-5 and diagnostics.is_whole(path):
        diagnostics.note(f"the shares must add up to 1; they add up to {total:g}", path)


def _blocks(value: Any, path: Path) -> Iterator[tuple[Path, Block]]:
    if isinstance(value, Block):
        yield path, value
        for name, field in type(value).model_fields.items():
            if name not in ("args", "kwargs"):
                yield from _blocks(getattr(value, name), (*path, field.alias or name))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _blocks(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _blocks(item, (*path, index))


def _one_of(
    block: Block, keys: tuple[str, ...], path: Path, diagnostics: Diagnostics, both: bool = False
) -> None:
    """One of these keys is given, and no other of them."""
    given = [k for k in keys if getattr(block, "class_" if k == "class" else k) is not None]
    listed = ", ".join(f'"{key}"' for key in keys[:-1]) + f' and "{keys[-1]}"'
    if not given and diagnostics.is_whole(*((*path, key) for key in keys)):
        diagnostics.broke(f"one of {listed} is needed", path)
    elif len(given) > 1 and not both:
        also = " and ".join(f'"{key}"' for key in given)
        last = (*path, diagnostics.last_written(path, given))
        diagnostics.note(f"only one of {listed} can be given; found {also}", last, at_key=True)


def _no_arguments(
    block: DatasetSpec | BatchProcessorSpec, path: Path, diagnostics: Diagnostics
) -> None:
    for key in ("args", "kwargs"):
        if getattr(block, key):
            message = f'"{key}" belongs to "class" or "factory_fn"'
            diagnostics.note(message, (*path, key), at_key=True)


_MOST = 5
"""So many elements of one tensor are told of."""


def _nearly_a_form(value: Any, path: Path, diagnostics: Diagnostics) -> None:
    """What is plain data, and may have been meant otherwise."""
    if not isinstance(value, dict):
        return
    for form in NAMED:
        if value.keys() == {form} and isinstance(value[form], str):
            diagnostics.warn(
                f'"{value[form]}" is no dotted path, so that this is plain data and no {form}; '
                f'{{"$literal": {{"{form}": …}}}} says that it is meant so',
                (*path, form),
            )
    if isinstance(value.get(TENSOR), list):
        for key in value.keys() - {TENSOR}:
            if nearest(key, ["dtype"]):
                message = f'unknown key "{key}"; did you mean "dtype"?'
                diagnostics.note(message, (*path, key), at_key=True)


def _nested(value: Any, path: Path, diagnostics: Diagnostics) -> None:
    """Objects among arguments have the keys of an object, and no others; tensors are tensors."""
    form = form_of(value)
    if form == TENSOR:
        for message, below in islice(misfits_of_tensor(value), _MOST):
            diagnostics.note(message, (*path, *below))
    if form is not None:
        return
    _nearly_a_form(value, path, diagnostics)
    if is_object(value):
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
    else:
        _arguments(value, path, diagnostics)


def _arguments(value: Any, path: Path, diagnostics: Diagnostics) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _nested(item, (*path, key), diagnostics)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _nested(item, (*path, index), diagnostics)
