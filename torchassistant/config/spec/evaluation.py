"""An evaluation config, beside what it changes in the session's config."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from torchassistant.config.blocks import Block, Device, EvalSteps, FolderName, Names
from torchassistant.config.spec.stages import StageEvaluatorSpec


class EvaluationSpec(Block):
    """What an evaluation config says beside what it changes in the session's config."""

    schema_: str | None = Field(None, alias="$schema", description="For editors.")
    include: Names | None = Field(
        None,
        alias="$include",
        description="Files that are [laid under this one](#included-files).",
    )
    variables: dict[str, Any] | None = Field(
        None, description="Values by name, for `${name}` in strings."
    )
    session_dir: FolderName = Field(description="Folder of the session.")
    validation_pipelines: Names | None = Field(
        None, description="Left out: those of the last stage."
    )
    evaluators: list[StageEvaluatorSpec] | None = Field(
        None,
        description="As in a stage; left out: those of the last stage, or none where "
        "`validation_pipelines` is given.",
    )
    initialize: dict[str, Any] = Field({}, description="Merged into the session's `initialize`.")
    eval_steps: EvalSteps | dict[str, EvalSteps] = Field(
        1.0, description="How much of each pipeline is run; an object gives it by name."
    )
    device: Device | None = Field(None, description="Left out: as the session says.")
