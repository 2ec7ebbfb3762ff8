"""A sweep: many trainings of one config, with values that are chosen for each."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from torchassistant.config.blocks import Block, FolderName, Name, Names

_Float = Annotated[float, Field(allow_inf_nan=False)]
_Int = Annotated[int, Field(gt=-(2**53), lt=2**53)]


class ParameterSpec(Block):
    """From where the values of a parameter are taken: one of the first three."""

    float_: Annotated[list[_Float], Field(min_length=2, max_length=2)] | None = Field(
        None, alias="float", description="Numbers from the first to the second, both included."
    )
    int_: Annotated[list[_Int], Field(min_length=2, max_length=2)] | None = Field(
        None, alias="int", description="Whole numbers from the first to the second, both included."
    )
    categorical: Annotated[list[Any], Field(min_length=1)] | None = Field(
        None, description="One of these values, which may be any JSON."
    )
    log: bool = Field(
        False, description="Whether numbers are drawn by their logarithm, so small ones as often."
    )
    step: _Float | None = Field(None, description="The distance between neighbouring numbers.")


class SweepSpec(Block):
    """A sweep."""

    schema_: str | None = Field(None, alias="$schema", description="For editors.")
    include: Names | None = Field(
        None,
        alias="$include",
        description="Files that are [laid under this one](#included-files).",
    )
    config: FolderName = Field(
        description="The training config; its path is relative to the file of the sweep."
    )
    parameters: Annotated[dict[Name, ParameterSpec], Field(min_length=1)] = Field(
        description="What is varied, by its path in the config, as `--set` takes it."
    )
    monitor: Name = Field(description="What is compared: a column of the history.")
    mode: Literal["min", "max"] = Field(description="Whether less or more of it is better.")
    take: Literal["best", "last"] = Field(
        "best", description="Which value of a trial counts: that of its best row, or of its last."
    )
    sampler: Literal["tpe", "gp", "qmc", "random", "grid"] = Field(
        "tpe",
        description="How values are chosen: by what earlier trials gave (tpe, gp), spread evenly "
        "(qmc), by chance, or all of them in turn.",
    )
    pruner: Literal["median", "hyperband", "halving"] | None = Field(
        None, description="What ends trials early that are worse than others were."
    )
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = Field(
        None,
        description="Of the sampler, and of each training whose config has none; left out: drawn "
        "once, and written down.",
    )
    folder: FolderName | None = Field(
        None, description="Where it is; left out: `sweeps/` with the name of the file."
    )
