"""From a spec to live objects: the only floor that imports what a config names."""

from torchassistant.assembly.allowlist import Allowlist
from torchassistant.assembly.build_context import FittedArtifacts
from torchassistant.assembly.build_order import needed_for
from torchassistant.assembly.builder import Builder
from torchassistant.assembly.devices import resolve_device
from torchassistant.assembly.groups import assembler_of
from torchassistant.assembly.groups.assembler import Member
from torchassistant.assembly.inference_from_data import fill
from torchassistant.assembly.object_checks import missing_data, survey, survey_objects
from torchassistant.assembly.parts import Parts
from torchassistant.assembly.pipeline_builder import build_pipeline, build_pipelines, build_stages
from torchassistant.assembly.prediction_inputs import InferenceInput, inference_inputs

__all__ = [
    "Allowlist",
    "Builder",
    "FittedArtifacts",
    "InferenceInput",
    "Member",
    "Parts",
    "assembler_of",
    "build_pipeline",
    "build_pipelines",
    "build_stages",
    "fill",
    "inference_inputs",
    "missing_data",
    "needed_for",
    "resolve_device",
    "survey",
    "survey_objects",
]
