"""Many trainings of one config: each a session, chosen and compared by Optuna."""

from torchassistant.sweeps.results import Fold, Outcome, Trial
from torchassistant.sweeps.sweep import sweep

__all__ = ["Fold", "Outcome", "Trial", "sweep"]
