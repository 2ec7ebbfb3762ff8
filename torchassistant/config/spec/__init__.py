"""The language of the config: one model for each block.

These models, with those of ``config/groups``, are the only definition of what a config may hold.
Field descriptions end up in the documentation, so they are written for the person who writes a
config.
"""

from torchassistant.config.spec.checkpoints import BestSpec, CheckpointsSpec
from torchassistant.config.spec.definitions import DEFINITIONS, DefinitionBlock
from torchassistant.config.spec.distributed import DistributedSpec
from torchassistant.config.spec.evaluation import EvaluationSpec
from torchassistant.config.spec.inference import (
    INFERENCE_POSTPROCESSOR,
    InferenceBlock,
    InferenceSpec,
    InputMetaSpec,
)
from torchassistant.config.spec.pipelines import (
    DebugPipelineSpec,
    InputFactorySpec,
    PipelineLossSpec,
    PipelineMetricSpec,
    PipelineSpec,
    StepSpec,
)
from torchassistant.config.spec.stages import (
    FrozenSpec,
    StageEvaluatorSpec,
    StageSpec,
    StartFromSpec,
    TrainingEntrySpec,
    TrainSpec,
    ValidateSpec,
)
from torchassistant.config.spec.sweep import ParameterSpec, SweepSpec
from torchassistant.config.spec.training import InitializeSpec, LogSpec, Spec

__all__ = [
    "DEFINITIONS",
    "INFERENCE_POSTPROCESSOR",
    "BestSpec",
    "CheckpointsSpec",
    "DebugPipelineSpec",
    "DefinitionBlock",
    "DistributedSpec",
    "EvaluationSpec",
    "FrozenSpec",
    "InferenceBlock",
    "InferenceSpec",
    "InitializeSpec",
    "InputFactorySpec",
    "InputMetaSpec",
    "LogSpec",
    "ParameterSpec",
    "PipelineLossSpec",
    "PipelineMetricSpec",
    "PipelineSpec",
    "Spec",
    "StageEvaluatorSpec",
    "StageSpec",
    "StartFromSpec",
    "StepSpec",
    "SweepSpec",
    "TrainSpec",
    "TrainingEntrySpec",
    "ValidateSpec",
]
