"""From a spec to live objects: the only floor that imports what a config names."""

from torchassistant.build.builder import Builder, Statics
from torchassistant.build.devices import resolve_device
from torchassistant.build.filling import fill
from torchassistant.build.order import needed_for
from torchassistant.build.parts import GROUPS, Parts
from torchassistant.build.pipelines import build_pipeline, build_pipelines, build_stages
from torchassistant.build.predictions import InferenceInput, inference_inputs
from torchassistant.build.survey import missing_data, survey, survey_objects
from torchassistant.build.trust import Trust

__all__ = [
    "GROUPS",
    "Builder",
    "InferenceInput",
    "Parts",
    "Statics",
    "Trust",
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
