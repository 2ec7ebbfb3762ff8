"""Training: pipelines, steps, interleaving, evaluation, stages, and the events of the loop."""

from torchassistant.training.averages import Average, Averaging
from torchassistant.training.batch_run import BatchRun, only_frames
from torchassistant.training.before_epoch import FunctionBeforeEpoch, PipelineBeforeEpoch
from torchassistant.training.best_values import BestValues
from torchassistant.training.better import Mode, better_of
from torchassistant.training.callback_run import CallbackRun
from torchassistant.training.carrying import carrying
from torchassistant.training.data_pass import DataPass, tells_of_stretching
from torchassistant.training.determinism import (
    draw_dropout_from_torch,
    use_deterministic_kernels,
    with_hidden_draws,
)
from torchassistant.training.epoch_metrics import expect_storable
from torchassistant.training.epoch_order import (
    EpochSpan,
    Order,
    evaluation_order,
    parts_met,
    training_order,
)
from torchassistant.training.evaluation.debug_pipeline import DebugPipeline
from torchassistant.training.evaluation.evaluation_in_turns import can_take_turns
from torchassistant.training.evaluation.evaluator import KeepBatch, evaluate
from torchassistant.training.evaluation.inference import chosen, infer
from torchassistant.training.evaluation.linked_data import evaluation_data_of
from torchassistant.training.evaluation.looks import Look, looks_at_pipeline
from torchassistant.training.evaluation.validation_plan import ValidationPlan
from torchassistant.training.events import Batch, Listener, Live, Shares, Spent
from torchassistant.training.gradient_norms import GradientNorms
from torchassistant.training.linked_input import LinkedInput
from torchassistant.training.loop.stage_length import (
    ends_of_epochs,
    iterations_of_stage,
    steps_of_optimizer,
)
from torchassistant.training.loop.stage_loop import train_stage
from torchassistant.training.losses.loss_denominators import rarely_counts_samples
from torchassistant.training.losses.loss_weights import LossWeights
from torchassistant.training.losses.losses_and_metrics import KeywordLoss, Loss, Metric
from torchassistant.training.losses.losses_by_key import LossByKey, weighted_losses
from torchassistant.training.losses.losses_of_models import LossOfModels, needs_gradient
from torchassistant.training.losses.metric_values import WHOLE, Data, Results, is_of_torchmetrics
from torchassistant.training.losses.named_counts import CountByFunction, CountOfColumn
from torchassistant.training.losses.weighted_losses import weighted_sum
from torchassistant.training.named_callback import NamedCallback, columns_of
from torchassistant.training.nan_guard import BatchNotFinite, NotFinite
from torchassistant.training.norm_statistics import batch_norms_of, recompute_statistics
from torchassistant.training.optimizer_calls import (
    NO_FP16,
    first_sentence,
    is_by_closure,
    needs_closure,
    parameters_of,
    stepping,
    two_closures,
)
from torchassistant.training.pipeline import (
    InputSource,
    Pipeline,
    PipelineLoss,
    PipelineMetric,
    StepObject,
    WeightSchedule,
    evaluation_data,
)
from torchassistant.training.precision import Precision
from torchassistant.training.profiler_names import ProfilerNames, decoded
from torchassistant.training.profiler_schedule import Recording
from torchassistant.training.progress import (
    PassProgress,
    Progress,
    Row,
    StageHistory,
    StopCheck,
    StopRequest,
    step_of,
)
from torchassistant.training.progress_bar import BarReporter, reporter_for
from torchassistant.training.reporter import Reporter, Reporters
from torchassistant.training.schedulers import Scheduler
from torchassistant.training.shared_stop import SharedStop
from torchassistant.training.stage import SKIPPED, BeforeEpoch, Checkpointer, Stage, freezing
from torchassistant.training.stage_evaluator import StageEvaluator
from torchassistant.training.state_guard import Changed, unchanged
from torchassistant.training.step_log import StepLog
from torchassistant.training.step_rows import step_header
from torchassistant.training.steps.combined_losses import combine
from torchassistant.training.steps.optimizer_update import GradientClipper, clippers_within
from torchassistant.training.steps.own_step import KeptGradients, OwnStep, evaluating_step
from torchassistant.training.steps.step_events import EvalStepEvent, TrainStepEvent
from torchassistant.training.turns import LONGEST, SHORTEST, Turn
from torchassistant.training.wrapped_optimizers import has_own_form, wrapped_in

__all__ = [
    "LONGEST",
    "NO_FP16",
    "SHORTEST",
    "SKIPPED",
    "WHOLE",
    "Average",
    "Averaging",
    "BarReporter",
    "Batch",
    "BatchNotFinite",
    "BatchRun",
    "BeforeEpoch",
    "BestValues",
    "CallbackRun",
    "Changed",
    "Checkpointer",
    "CountByFunction",
    "CountOfColumn",
    "Data",
    "DataPass",
    "DebugPipeline",
    "EpochSpan",
    "EvalStepEvent",
    "FunctionBeforeEpoch",
    "GradientClipper",
    "GradientNorms",
    "InputSource",
    "KeepBatch",
    "KeptGradients",
    "KeywordLoss",
    "LinkedInput",
    "Listener",
    "Live",
    "Look",
    "Loss",
    "LossByKey",
    "LossOfModels",
    "LossWeights",
    "Metric",
    "Mode",
    "NamedCallback",
    "NotFinite",
    "Order",
    "OwnStep",
    "PassProgress",
    "Pipeline",
    "PipelineBeforeEpoch",
    "PipelineLoss",
    "PipelineMetric",
    "Precision",
    "ProfilerNames",
    "Progress",
    "Recording",
    "Reporter",
    "Reporters",
    "Results",
    "Row",
    "Scheduler",
    "SharedStop",
    "Shares",
    "Spent",
    "Stage",
    "StageEvaluator",
    "StageHistory",
    "StepLog",
    "StepObject",
    "StopCheck",
    "StopRequest",
    "TrainStepEvent",
    "Turn",
    "ValidationPlan",
    "WeightSchedule",
    "batch_norms_of",
    "better_of",
    "can_take_turns",
    "carrying",
    "chosen",
    "clippers_within",
    "columns_of",
    "combine",
    "decoded",
    "draw_dropout_from_torch",
    "ends_of_epochs",
    "evaluate",
    "evaluating_step",
    "evaluation_data",
    "evaluation_data_of",
    "evaluation_order",
    "expect_storable",
    "first_sentence",
    "freezing",
    "has_own_form",
    "infer",
    "is_by_closure",
    "is_of_torchmetrics",
    "iterations_of_stage",
    "looks_at_pipeline",
    "needs_closure",
    "needs_gradient",
    "only_frames",
    "parameters_of",
    "parts_met",
    "rarely_counts_samples",
    "recompute_statistics",
    "reporter_for",
    "step_header",
    "step_of",
    "stepping",
    "steps_of_optimizer",
    "tells_of_stretching",
    "train_stage",
    "training_order",
    "two_closures",
    "unchanged",
    "use_deterministic_kernels",
    "weighted_losses",
    "weighted_sum",
    "with_hidden_draws",
    "wrapped_in",
]
