"""The session folder: created, loaded, trained, evaluated, used."""

from torchassistant.session.checkpoints.selection import LAST
from torchassistant.session.create import Draft, create_session, store
from torchassistant.session.derived_session import derived_session, store_derived
from torchassistant.session.earlier_saver import SessionSaver
from torchassistant.session.files.begun_work import begun_work, expect_same_work, stored_json
from torchassistant.session.files.durable_files import (
    as_json,
    expect_text,
    new_folder,
    replace_file,
)
from torchassistant.session.folder.lock import expect_no_trainer
from torchassistant.session.folder.session_folder import SessionFolder
from torchassistant.session.load import load_session
from torchassistant.session.predictions.class_names import class_names
from torchassistant.session.predictions.prediction import (
    NotPredicted,
    Prediction,
    made_postprocessor,
    reason_of,
)
from torchassistant.session.preflight import GroupReport, NodeReport, Preflight
from torchassistant.session.requests.evaluation_run import evaluate_config
from torchassistant.session.requests.inference_run import infer_config
from torchassistant.session.requests.open_pipeline import OpenPipeline, open_pipeline
from torchassistant.session.session import Session
from torchassistant.session.trials.learning_rate_search import (
    RangeTest,
    find_learning_rate,
    keep_curve,
)
from torchassistant.session.trials.profiling import train_profiled
from torchassistant.session.trials.resume_check import (
    different_state,
    first_difference,
    train_traced,
)
from torchassistant.session.trials.trial import overfit, try_out
from torchassistant.session.views.log_history import log_history

__all__ = [
    "LAST",
    "Draft",
    "GroupReport",
    "NodeReport",
    "NotPredicted",
    "OpenPipeline",
    "Prediction",
    "Preflight",
    "RangeTest",
    "Session",
    "SessionFolder",
    "SessionSaver",
    "as_json",
    "begun_work",
    "class_names",
    "create_session",
    "derived_session",
    "different_state",
    "evaluate_config",
    "expect_no_trainer",
    "expect_same_work",
    "expect_text",
    "find_learning_rate",
    "first_difference",
    "infer_config",
    "keep_curve",
    "load_session",
    "log_history",
    "made_postprocessor",
    "new_folder",
    "open_pipeline",
    "overfit",
    "reason_of",
    "replace_file",
    "store",
    "store_derived",
    "stored_json",
    "train_profiled",
    "train_traced",
    "try_out",
]
