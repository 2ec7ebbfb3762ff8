"""Training: pipelines, one iteration, interleaving, evaluation, stages."""

from torchassistant.training.debug_pipeline import DebugPipeline
from torchassistant.training.evaluation import evaluate
from torchassistant.training.inference import infer
from torchassistant.training.loss_denominators import rarely_counts_samples
from torchassistant.training.losses_and_metrics import Loss, Metric
from torchassistant.training.nan_guard import NotFinite
from torchassistant.training.pipeline import InputSource, Pipeline, PipelineLoss, PipelineMetric
from torchassistant.training.precision import Precision
from torchassistant.training.progress import Progress, Row, StageHistory, StopRequest
from torchassistant.training.reporter import Reporter, Reporters
from torchassistant.training.stage import Stage, freezing, train_stage
from torchassistant.training.timing import Shares
from torchassistant.training.train_step import GradientClipper, Scheduler, Trainer

__all__ = [
    "DebugPipeline",
    "GradientClipper",
    "InputSource",
    "Loss",
    "Metric",
    "NotFinite",
    "Pipeline",
    "PipelineLoss",
    "PipelineMetric",
    "Precision",
    "Progress",
    "Reporter",
    "Reporters",
    "Row",
    "Scheduler",
    "Shares",
    "Stage",
    "StageHistory",
    "StopRequest",
    "Trainer",
    "evaluate",
    "freezing",
    "infer",
    "rarely_counts_samples",
    "train_stage",
]
