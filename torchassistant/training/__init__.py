"""Training: pipelines, one iteration, interleaving, evaluation, stages."""

from torchassistant.training.debugging import DebugPipeline
from torchassistant.training.evaluation import evaluate
from torchassistant.training.finite import NotFinite
from torchassistant.training.inference import infer
from torchassistant.training.iteration import GradientClipper, Scheduler, Trainer
from torchassistant.training.pipeline import InputSource, Pipeline, PipelineLoss, PipelineMetric
from torchassistant.training.precision import Precision
from torchassistant.training.progress import Progress, Row, StageHistory, StopRequest
from torchassistant.training.reporting import Reporter, Reporters
from torchassistant.training.scoring import Loss, Metric
from torchassistant.training.stage import Stage, freezing, train_stage
from torchassistant.training.terms import rarely_counts_samples
from torchassistant.training.timing import Shares

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
