"""The columns of the history that callbacks add values for: known before a stage begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torchassistant.assembly.builder import Builder
from torchassistant.assembly.monitored_modes import set_mode_of_condition
from torchassistant.callbacks import Callback
from torchassistant.config import Path
from torchassistant.errors import DataError
from torchassistant.training import Stage, columns_of


def learn_columns(builder: Builder) -> None:
    """Ask every callback of the config for its columns, and tell it what is better.

    Raises:
        ConfigError: They are no names.
        UserCodeError: The user's code raised.
    """
    parts = builder.parts
    for one in builder.defined("callbacks"):
        if not isinstance(parts.callbacks[one.name], Callback):
            continue
        try:
            columns = columns_of(parts.callbacks[one.name], one.name, parts)
        except DataError as error:
            raise builder.maker.problem(str(error), one.path) from None
        parts.callback_columns[one.name] = columns
        set_mode_of_condition(builder, parts.callbacks[one.name], parts.pipelines)


def with_columns(builder: Builder, stage: Stage, path: Path, index: int) -> Stage:
    """A stage, with the columns of the callbacks that the config names for it.

    Args:
        builder: Has asked them.
        stage: As it is without.
        path: Where it stands.
        index: Its place among the stages.

    Raises:
        ConfigError: Two of its columns have one name.
    """
    names, columns = builder.spec.callbacks_of_stage(index), builder.parts.callback_columns
    known = dict.fromkeys(stage.header, "the history")
    for name in names:
        if name not in columns:
            message = (
                f'"{name}" is no torchassistant.callbacks.Callback; what is called with the '
                'session and the epoch stands in "run_before_epoch"'
            )
            raise builder.maker.problem(message, (*path, "callbacks"))
        problem = clash(known, name, columns[name])
        if problem is not None:
            raise builder.maker.problem(problem, (*path, "callbacks"))
    return replace(stage, added_columns=[column for name in names for column in columns[name]])


def clash(known: dict[str, str], callback: str, columns: Sequence[str]) -> str | None:
    """What is wrong with the columns of a callback beside others; None where that is nothing.

    Args:
        known: The columns of a row, each with whose it is; those of the callback are added.
        callback: Its name.
        columns: Its columns.
    """
    for column in columns:
        owner = "the history" if column == "stage" else known.get(column)
        if owner is not None:
            return (
                f'the callback "{callback}" adds "{column}", which is a column of {owner} already'
            )
        known[column] = f'the callback "{callback}"'
    return None
