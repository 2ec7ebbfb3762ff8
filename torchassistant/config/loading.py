"""From the text of a config to a checked, typed spec."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torchassistant.config.aliases import apply_aliases, key_aliases
from torchassistant.config.blocks import Block
from torchassistant.config.checks import check
from torchassistant.config.config_kinds import expect_file, expect_kind
from torchassistant.config.defaults import fill_defaults
from torchassistant.config.diagnostics import Diagnostics
from torchassistant.config.includes import INCLUDE, with_includes
from torchassistant.config.inheritance import inherit
from torchassistant.config.missing_parts import check_missing_parts, has_missing_parts
from torchassistant.config.overrides import apply_overrides
from torchassistant.config.reader import read_file
from torchassistant.config.spec import Spec
from torchassistant.config.text import Text
from torchassistant.config.tree import as_tree, set_aside, walk
from torchassistant.config.validate import validate
from torchassistant.config.variables import SECTION, substitute
from torchassistant.errors import ConfigError, Place, Problem

Source = str | Path | Text | Mapping[str, Any]


def read(
    source: Source,
    settings: Sequence[str] = (),
    block: type[Block] = Spec,
    variables: bool = True,
    trust: Sequence[str] = (),
) -> Diagnostics:
    """Read a config, from a file or from data that was made in Python.

    Args:
        source: The file, what :func:`scan` made of its text, or the data.
        settings: What is to be changed in it, each as ``PATH=VALUE``.
        block: What kind of config it is.
        variables: Whether ``${name}`` stands for a variable in its strings; and what is ``like``
            another takes over from that, in a training config.
        trust: What ``--trust`` was given: of that, the folders that files may be included from.

    Returns:
        The tree, its aliases replaced, and what is wrong with it so far.

    Raises:
        ConfigError: It cannot be read at all, or is no object.
    """
    from_data = isinstance(source, Mapping)
    if isinstance(source, Text):
        text = source
    elif isinstance(source, Mapping):
        text = Text(as_tree(source), [])
    else:
        expect_file(Path(source))
        text = read_file(source)
    text = with_includes(text, trust)
    diagnostics = Diagnostics(text.tree, text.file)
    diagnostics.files |= text.included
    diagnostics.in_parts = text.in_parts
    diagnostics.problems += text.problems
    if not isinstance(text.tree, dict):
        if not diagnostics.problems:
            place = Place(diagnostics.file, 0 if from_data else 1, 0 if from_data else 1)
            diagnostics.problems.append(Problem("a config is one object of keys and values", place))
        raise ConfigError(*diagnostics.problems)
    expect_kind(text.tree, block, diagnostics.file)
    for path, value in walk(text.tree) if from_data else ():  # of files, the reader reports it
        if isinstance(value, float) and not math.isfinite(value):
            diagnostics.note("JSON has no NaN and no infinity; found one", path)
    top = top_keys(block)

    def part(file: str) -> Any:
        found = with_includes(read_file(file), trust)
        diagnostics.problems += found.problems
        return found.tree

    apply_overrides(text.tree, settings, diagnostics.note, top, part)
    if variables:
        diagnostics.variables = text.tree.get(SECTION)
        for path in substitute(text.tree, os.environ, diagnostics.note):
            set_aside(text.tree, path)
    apply_aliases(diagnostics, block)
    if variables and block is Spec:
        inherit(diagnostics)
    return diagnostics


def top_keys(block: type[Block]) -> list[str]:
    """The keys of a config of a kind, by all of their names, that ``--set`` may change."""
    keys = [field.alias or name for name, field in block.model_fields.items()]
    return [key for key in (*keys, *key_aliases(block)) if key != INCLUDE]


def split_overrides(block: type[Block], overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Overrides of a config of this kind itself, and those of the training config behind it."""
    own = {field.alias or name for name, field in block.model_fields.items()} - {"initialize"}
    own |= key_aliases(block).keys()
    parted: tuple[list[str], list[str]] = ([], [])
    for override in overrides:
        first = re.split(r"[.\[=]", override, maxsplit=1)[0]
        parted[first not in own].append(override)
    return parted


def spec_of(
    diagnostics: Diagnostics,
    used: Callable[[Spec], Collection[str]] | None = None,
    scored: bool = True,
) -> Spec | None:
    """The completed spec of a training config, repaired where it is wrong.

    Args:
        diagnostics: As :func:`read` gives them; gets every problem that the config alone can show.
        used: Where it is not to be trained: chooses the pipelines that are to be run.
        scored: Whether losses and metrics are computed.
    """
    spec = validate(Spec, diagnostics.tree, diagnostics)
    if spec is None:
        return None
    fill_defaults(spec)
    if has_missing_parts(spec):
        check_missing_parts(spec, diagnostics)
    check(spec, diagnostics, None if used is None else used(spec), scored)
    return spec


class ReadConfig(NamedTuple):
    """A training config that was read once, and checked as far as it can be by itself.

    Args:
        diagnostics: Where things stand in it, and what is wrong with it.
        spec: Its completed spec; None where it is past repair.
    """

    diagnostics: Diagnostics
    spec: Spec | None


def read_training(
    source: Source, settings: Sequence[str] = (), trust: Sequence[str] = ()
) -> ReadConfig:
    """Read a training config, and find every problem that it alone can show.

    Args:
        source: The file, or the data.
        settings: What is to be changed in it, each as ``PATH=VALUE``.
        trust: As :func:`read` takes it.

    Raises:
        ConfigError: It cannot be read at all, or is no object.
    """
    diagnostics = read(source, settings, trust=trust)
    return ReadConfig(diagnostics, spec_of(diagnostics))


def completed(spec: Spec, diagnostics: Diagnostics) -> Spec:
    """The completed spec of one whose missing parts were filled in.

    Args:
        spec: The spec; what was written in the config comes first in it.
        diagnostics: Gets the problems.
    """
    fill_defaults(spec)
    check(spec, diagnostics)
    return spec


def load(source: Source) -> Spec:
    """A training config as a completed and checked spec.

    Raises:
        ConfigError: With every problem that was found.
    """
    diagnostics, spec = read_training(source)
    diagnostics.raise_if_any()
    assert spec is not None, "what is past repair has problems"
    return spec


def as_data(spec: Block) -> dict[str, Any]:
    """A spec as plain JSON data, in the form in which it can be read again."""
    return spec.model_dump(mode="json", by_alias=True, exclude_none=True)
