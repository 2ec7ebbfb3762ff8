"""A config in JSON turned into YAML, and back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from torchassistant.config import as_yaml, is_yaml, read_source, scan, write_json
from torchassistant.conversion.comments import comments_of, with_comments
from torchassistant.conversion.new_file import new_file
from torchassistant.errors import ConfigError, UserError, shown_path

SUFFIXES = (".json", ".yaml", ".yml")


class ConvertedConfig(NamedTuple):
    """What became of a config.

    Args:
        comments: How many lines of comments were taken along.
        has_anchors: Whether anchors and merge keys were written out, as JSON has none.
    """

    comments: int
    has_anchors: bool


def is_config(path: str | Path) -> bool:
    """Whether a file is one of a config, as its name says."""
    return Path(path).suffix.lower() in SUFFIXES


def convert_config(
    source: str | Path, target: str | Path, *, replace: bool = False
) -> ConvertedConfig:
    """Write a config in the other form, with its comments.

    Args:
        source: The config, in JSON or YAML.
        target: The new file, whose name says its form; it appears when it is whole.
        replace: Whether an existing target is replaced.

    Raises:
        UserError: The config cannot be read, or the target is there or of the same form.
        NotWritten: The target cannot be written.
    """
    source, target = Path(source), Path(target)
    if not is_config(target):
        raise UserError(f"{shown_path(target)}: the name of a config ends in {', '.join(SUFFIXES)}")
    if is_yaml(source) == is_yaml(target):
        form = "YAML" if is_yaml(source) else "JSON"
        raise UserError(f"{shown_path(source)} and {shown_path(target)} are both {form}")
    if not target.parent.is_dir():
        raise UserError(f"{shown_path(target)}: there is no folder {shown_path(target.parent)}")
    text = read_source(source)
    written, comments = in_other_form(text, str(source), str(target))
    try:
        with new_file(target, replace) as handle, os.fdopen(os.dup(handle), "wb") as file:
            file.write(written.encode())
    except FileExistsError:
        message = f"{shown_path(target)} is there already; --replace replaces it"
        raise UserError(message) from None
    return ConvertedConfig(comments, is_yaml(source) and _has_anchors(text))


def in_other_form(text: str, source: str, target: str) -> tuple[str, int]:
    """The text of a config in the other form, with its comments, and how many lines these are.

    Args:
        text: The config.
        source: The name of its file, which says its form.
        target: The name of the new file.

    Raises:
        ConfigError: It cannot be read.
    """
    found = scan(text, source)
    if found.problems:
        raise ConfigError(*found.problems)
    comments = comments_of(text, found.tree, is_yaml(source))
    sign = "#" if is_yaml(target) else "//"
    plain = as_yaml(found.tree) if is_yaml(target) else write_json(found.tree)
    groups = (*comments.above.values(), *comments.behind.values(), comments.at_end)
    return with_comments(plain, comments, target, sign), sum(map(len, groups))


def _has_anchors(text: str) -> bool:
    from yaml import SafeLoader
    from yaml import scan as tokens_of
    from yaml.tokens import AliasToken

    return any(isinstance(token, AliasToken) for token in tokens_of(text, SafeLoader))
