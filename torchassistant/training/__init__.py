"""Training: pipelines, steps, interleaving, evaluation, stages, and the events of the loop."""

from torchassistant.training.debug_pipeline import DebugPipeline
from torchassistant.training.evaluation import evaluate
from torchassistant.training.events import Listener, Live, Shares
from torchassistant.training.inference import infer
from torchassistant.training.loss_denominators import rarely_counts_samples
from torchassistant.training.losses_and_metrics import Loss, Metric
from torchassistant.training.nan_guard import NotFinite
from torchassistant.training.optimizer_update import GradientClipper
from torchassistant.training.pipeline import InputSource, Pipeline, PipelineLoss, PipelineMetric
from torchassistant.training.precision import Precision
from torchassistant.training.progress import Progress, Row, StageHistory, StopRequest
from torchassistant.training.reporter import Reporter, Reporters
from torchassistant.training.schedulers import Scheduler
from torchassistant.training.stage import Stage, freezing
from torchassistant.training.stage_loop import train_stage

__all__ = [
    "DebugPipeline",
    "GradientClipper",
    "InputSource",
    "Listener",
    "Live",
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
    "evaluate",
    "freezing",
    "infer",
    "rarely_counts_samples",
    "train_stage",
]
