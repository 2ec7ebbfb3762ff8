"""An inference config, beside what it changes in the session's config."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field

from torchassistant.config.blocks import Block, Device, FolderName, Name, Names, ObjectSpec
from torchassistant.config.role import (
    CALLABLE,
    INPUT_CONVERTER,
    MODULE,
    NO_TRACE,
    POSTPROCESSOR_KIND,
    Role,
)
from torchassistant.config.spec.pipelines import OUTPUT_DEVICE_ROLE, POSTPROCESSOR

INPUT_CONVERTER_ROLE = Role(
    "input_converter",
    "input converter (it cannot be called)",
    ("torchassistant.input_converters",),
    methods=CALLABLE,
    kind=INPUT_CONVERTER,
    other_kinds=(MODULE,),
    or_itself=True,
    code=NO_TRACE,
)


class InputMetaSpec(Block):
    """How the text of one input becomes a value for one port."""

    input_alias: Name | None = Field(None, description="The port; left out: the only one.")
    input_converter: Annotated[ObjectSpec | None, INPUT_CONVERTER_ROLE] = Field(
        None, description="Left out: the text as it is."
    )
    transform: bool | None = Field(
        None,
        description="Whether the dataset's own `transform` is applied to the converter's result; "
        "left out: to images, texts and uint8 pixels.",
    )


INFERENCE_POSTPROCESSOR = replace(
    POSTPROCESSOR,
    name="inference_postprocessor",
    noun="post-processor (it cannot be called)",
    search_paths=("torchassistant.postprocessors",),
    kind=POSTPROCESSOR_KIND,
    given=("the session",),
    or_itself=False,
)


class InferenceBlock(Block):
    """How predictions are made: what an inference config says, and a training config may keep."""

    inference_pipeline: Name | None = Field(
        None, description="Left out: the last validation pipeline of the last stage."
    )
    loader_factory: Name | None = Field(
        None,
        description="In place of inputs: predictions for all of its data, which feeds the "
        "pipeline's only port.",
    )
    inputs_meta: list[InputMetaSpec] = Field([], description="How the text of inputs is read.")
    results: Names | None = Field(None, description="Columns to keep; left out: all outputs.")
    postprocessor: Annotated[ObjectSpec | None, INFERENCE_POSTPROCESSOR] = Field(
        None, description="Its first argument is the session."
    )
    output_device: Annotated[ObjectSpec | None, OUTPUT_DEVICE_ROLE] = Field(
        None, description="Left out: results are printed."
    )
    initialize: dict[str, Any] = Field({}, description="Merged into the session's `initialize`.")
    device: Device | None = Field(None, description="Left out: as the session says.")


class InferenceSpec(InferenceBlock):
    """What an inference config says beside what it changes in the session's config."""

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
