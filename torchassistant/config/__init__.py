"""From the text of a config to a checked, typed spec. Nothing on this floor imports torch."""

from torchassistant.config.automatic_lengths import lengths_in, with_length
from torchassistant.config.blocks import Block, CompileSpec, ObjectSpec
from torchassistant.config.change_rule import Effect, Rule
from torchassistant.config.checks import check_blocks
from torchassistant.config.checks.scope import DEFINITIONS, PIPELINES
from torchassistant.config.config_kinds import SESSION_PARTS, is_session, kind_of
from torchassistant.config.defaults import DEFAULT_PROCESSOR, PREDICTION
from torchassistant.config.dependencies import asks_the_session, needed_by, references_of_evaluator
from torchassistant.config.diagnostics import Diagnostics
from torchassistant.config.explain import Explained, explain_path
from torchassistant.config.file_names import as_file_name
from torchassistant.config.forms import as_yaml, is_yaml, scan
from torchassistant.config.groups import GROUPS, ID_WORDS
from torchassistant.config.groups.batch_processors import NodeSpec
from torchassistant.config.groups.callbacks import (
    IN_LOGGERS_ALONE,
    LOGGERS_ARE_FREE,
    OF_LOGGER,
)
from torchassistant.config.groups.losses_and_metrics import (
    COUNT_OF_LOSS,
    TORCHMETRICS,
    TRANSFORM_OF_SCORE,
    LossSpec,
)
from torchassistant.config.groups.models import (
    DECAY,
    ModelSpec,
    is_average,
    origin_of,
    own_models,
    owner_of,
    path_within,
)
from torchassistant.config.groups.optimizers import (
    LR_SCHEDULER,
    REST,
    OptimizerSpec,
    ParameterGroupSpec,
    SchedulerSpec,
)
from torchassistant.config.history_columns import row_columns
from torchassistant.config.inheritance import inherit
from torchassistant.config.json_writer import write_json
from torchassistant.config.loading import (
    ReadConfig,
    as_data,
    completed,
    load,
    read,
    read_training,
    spec_of,
    split_overrides,
)
from torchassistant.config.merge import merge_configs
from torchassistant.config.missing_parts import (
    TRAINING,
    VALIDATION,
    data_sources,
    has_missing_parts,
)
from torchassistant.config.model_weights import SESSION, ModelWeightsSpec
from torchassistant.config.module_patterns import EVERYTHING, Glob, PatternSpec, glob_of
from torchassistant.config.named_objects import (
    ATTRIBUTE,
    LITERAL,
    OF,
    TENSOR,
    Described,
    form_of,
    is_object,
    nested_in,
    objects_in,
)
from torchassistant.config.optimizer_state import CHANGE_OF_STATE, OptimizerStateSpec
from torchassistant.config.reader import read_file, read_source
from torchassistant.config.references import (
    DATASET_OR_SLICE,
    LOSSES,
    Key,
    Reference,
    as_slice,
    module_named,
    target,
)
from torchassistant.config.role import (
    ADAPTER,
    BATCH_PROCESSOR,
    COLLATOR,
    DATASET,
    INPUT_CONVERTER,
    METRIC,
    MODULE,
    OUTPUT_DEVICE,
    TRANSFORM,
    Role,
)
from torchassistant.config.roles import ROLES, role_named
from torchassistant.config.search_paths import our_class
from torchassistant.config.source_inspection import find_source, signature_of
from torchassistant.config.spec import (
    INFERENCE_POSTPROCESSOR,
    CheckpointsSpec,
    DebugPipelineSpec,
    DistributedSpec,
    EvaluationSpec,
    FrozenSpec,
    InferenceSpec,
    InitializeSpec,
    InputFactorySpec,
    ParameterSpec,
    PipelineLossSpec,
    PipelineSpec,
    Spec,
    StageEvaluatorSpec,
    StageSpec,
    StartFromSpec,
    SweepSpec,
)
from torchassistant.config.static_check import passes_static_check
from torchassistant.config.sweeps import ReadSweep, grid_values, read_sweep
from torchassistant.config.tensor_literals import dtype_of
from torchassistant.config.text import MAX_BYTES
from torchassistant.config.toposort import postorder, reachable, topological_order
from torchassistant.config.tree import (
    Mark,
    Path,
    Table,
    mark_at,
    path_text,
    place_of,
    value_at,
    walk,
)
from torchassistant.config.unread_columns import unread_columns
from torchassistant.config.validate import validate
from torchassistant.config.variables import substitute
from torchassistant.sizes import bytes_of, machine_memory, size_text

__all__ = [
    "ADAPTER",
    "ATTRIBUTE",
    "BATCH_PROCESSOR",
    "CHANGE_OF_STATE",
    "COLLATOR",
    "COUNT_OF_LOSS",
    "DATASET",
    "DATASET_OR_SLICE",
    "DECAY",
    "DEFAULT_PROCESSOR",
    "DEFINITIONS",
    "EVERYTHING",
    "GROUPS",
    "ID_WORDS",
    "INFERENCE_POSTPROCESSOR",
    "INPUT_CONVERTER",
    "IN_LOGGERS_ALONE",
    "LITERAL",
    "LOGGERS_ARE_FREE",
    "LOSSES",
    "LR_SCHEDULER",
    "MAX_BYTES",
    "METRIC",
    "MODULE",
    "OF",
    "OF_LOGGER",
    "OUTPUT_DEVICE",
    "PIPELINES",
    "PREDICTION",
    "REST",
    "ROLES",
    "SESSION",
    "SESSION_PARTS",
    "TENSOR",
    "TORCHMETRICS",
    "TRAINING",
    "TRANSFORM",
    "TRANSFORM_OF_SCORE",
    "VALIDATION",
    "Block",
    "CheckpointsSpec",
    "CompileSpec",
    "DebugPipelineSpec",
    "Described",
    "Diagnostics",
    "DistributedSpec",
    "Effect",
    "EvaluationSpec",
    "Explained",
    "FrozenSpec",
    "Glob",
    "InferenceSpec",
    "InitializeSpec",
    "InputFactorySpec",
    "Key",
    "LossSpec",
    "Mark",
    "ModelSpec",
    "ModelWeightsSpec",
    "NodeSpec",
    "ObjectSpec",
    "OptimizerSpec",
    "OptimizerStateSpec",
    "ParameterGroupSpec",
    "ParameterSpec",
    "Path",
    "PatternSpec",
    "PipelineLossSpec",
    "PipelineSpec",
    "ReadConfig",
    "ReadSweep",
    "Reference",
    "Role",
    "Rule",
    "SchedulerSpec",
    "Spec",
    "StageEvaluatorSpec",
    "StageSpec",
    "StartFromSpec",
    "SweepSpec",
    "Table",
    "as_data",
    "as_file_name",
    "as_slice",
    "as_yaml",
    "asks_the_session",
    "bytes_of",
    "check_blocks",
    "completed",
    "data_sources",
    "dtype_of",
    "explain_path",
    "find_source",
    "form_of",
    "glob_of",
    "grid_values",
    "has_missing_parts",
    "inherit",
    "is_average",
    "is_object",
    "is_session",
    "is_yaml",
    "kind_of",
    "lengths_in",
    "load",
    "machine_memory",
    "mark_at",
    "merge_configs",
    "module_named",
    "needed_by",
    "nested_in",
    "objects_in",
    "origin_of",
    "our_class",
    "own_models",
    "owner_of",
    "passes_static_check",
    "path_text",
    "path_within",
    "place_of",
    "postorder",
    "reachable",
    "read",
    "read_file",
    "read_source",
    "read_sweep",
    "read_training",
    "references_of_evaluator",
    "role_named",
    "row_columns",
    "scan",
    "signature_of",
    "size_text",
    "spec_of",
    "split_overrides",
    "substitute",
    "target",
    "topological_order",
    "unread_columns",
    "validate",
    "value_at",
    "walk",
    "with_length",
    "write_json",
]
