"""Callbacks, which are called at the places of a run; and what is needed to write one."""

from __future__ import annotations

from torchassistant.callbacks.base import Callback, on
from torchassistant.callbacks.events import (
    BackwardEndEvent,
    CheckpointEvent,
    EmittedEvent,
    EpochEndEvent,
    EpochStartEvent,
    ExceptionEvent,
    IterationEndEvent,
    IterationEvent,
    StageEndEvent,
    StageStartEvent,
    StepEndEvent,
    StepStartEvent,
    TrainEndEvent,
    TrainStartEvent,
    ValidationBatchEvent,
    ValidationEndEvent,
    ValidationStartEvent,
)
from torchassistant.callbacks.gradient_norms import GradientNorms
from torchassistant.callbacks.learning_rate_monitor import LearningRateMonitor
from torchassistant.callbacks.loggers import MLflow, TensorBoard, Trackio
from torchassistant.callbacks.model_checkpoint import ModelCheckpoint
from torchassistant.callbacks.samples import Samples

__all__ = [
    "BackwardEndEvent",
    "Callback",
    "CheckpointEvent",
    "EmittedEvent",
    "EpochEndEvent",
    "EpochStartEvent",
    "ExceptionEvent",
    "GradientNorms",
    "IterationEndEvent",
    "IterationEvent",
    "LearningRateMonitor",
    "MLflow",
    "ModelCheckpoint",
    "Samples",
    "StageEndEvent",
    "StageStartEvent",
    "StepEndEvent",
    "StepStartEvent",
    "TensorBoard",
    "Trackio",
    "TrainEndEvent",
    "TrainStartEvent",
    "ValidationBatchEvent",
    "ValidationEndEvent",
    "ValidationStartEvent",
    "on",
]
