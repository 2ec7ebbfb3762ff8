"""The session folder: created, loaded, trained, evaluated, used."""

from torchassistant.session.create import create_session
from torchassistant.session.evaluation import evaluate_config
from torchassistant.session.inference import infer_config
from torchassistant.session.load import load_session
from torchassistant.session.session import Session

__all__ = ["Session", "create_session", "evaluate_config", "infer_config", "load_session"]
