"""Callbacks, which are called at the places of a run; and what is needed to write one."""

from __future__ import annotations

from torchassistant.callback_base import Callback, on
from torchassistant.callback_events import (
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
from torchassistant.gradient_norms import GradientNorms
from torchassistant.learning_rate_monitor import LearningRateMonitor
from torchassistant.loggers import MLflow, TensorBoard, Trackio
from torchassistant.model_checkpoint import ModelCheckpoint

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
