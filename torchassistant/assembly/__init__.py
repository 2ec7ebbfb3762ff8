"""From a spec to live objects: the only floor that imports what a config names."""

from torchassistant.assembly.allowlist import Allowlist
from torchassistant.assembly.anew import optimizer_anew, scheduler_anew
from torchassistant.assembly.build_context import Defined, FittedArtifacts, ReadSession
from torchassistant.assembly.build_order import needed_for
from torchassistant.assembly.builder import Builder
from torchassistant.assembly.callback_columns import clash
from torchassistant.assembly.devices import Devices
from torchassistant.assembly.filling import fill
from torchassistant.assembly.groups import assembler_of
from torchassistant.assembly.groups.assembler import Member
from torchassistant.assembly.monitored_modes import mode_of, set_mode_of_condition
from torchassistant.assembly.object_checks import missing_data, survey, survey_objects
from torchassistant.assembly.object_maker import ObjectMaker, PlaceOf
from torchassistant.assembly.optimizer_files import optimizer_state_in
from torchassistant.assembly.parts import Parts
from torchassistant.assembly.pipeline_builder import (
    build_pipeline,
    build_pipelines,
    build_stages,
    wanted_by,
)
from torchassistant.assembly.prediction_inputs import (
    InferenceInput,
    inference_inputs,
    wanted_for_inference,
)
from torchassistant.assembly.reachable_models import models_reached
from torchassistant.assembly.stage_evaluators import evaluators_of, wanted_by_evaluators
from torchassistant.assembly.statistics_of_averages import prepare_statistics
from torchassistant.assembly.taken_weights import TakenWeights, WeightsRow, taken_weights_of
from torchassistant.assembly.unfilled import give_memory
from torchassistant.assembly.user_code import code_of, meaning
from torchassistant.assembly.weight_checks import report_weights
from torchassistant.assembly.weight_files import MODELS, Source, held
from torchassistant.assembly.weight_names import one_named

__all__ = [
    "MODELS",
    "Allowlist",
    "Builder",
    "Defined",
    "Devices",
    "FittedArtifacts",
    "InferenceInput",
    "Member",
    "ObjectMaker",
    "Parts",
    "PlaceOf",
    "ReadSession",
    "Source",
    "TakenWeights",
    "WeightsRow",
    "assembler_of",
    "build_pipeline",
    "build_pipelines",
    "build_stages",
    "clash",
    "code_of",
    "evaluators_of",
    "fill",
    "give_memory",
    "held",
    "inference_inputs",
    "meaning",
    "missing_data",
    "mode_of",
    "models_reached",
    "needed_for",
    "one_named",
    "optimizer_anew",
    "optimizer_state_in",
    "prepare_statistics",
    "report_weights",
    "scheduler_anew",
    "set_mode_of_condition",
    "survey",
    "survey_objects",
    "taken_weights_of",
    "wanted_by",
    "wanted_by_evaluators",
    "wanted_for_inference",
]
