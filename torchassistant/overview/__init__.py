"""Sessions looked at from outside: quickly, without torch, whole or damaged, while they train."""

from torchassistant.overview.difference import Difference, compare
from torchassistant.overview.stored import (
    ENVIRONMENT,
    SPEC,
    Row,
    Unreadable,
    looks_like_session,
    required,
    rows_in,
    rows_of,
    size_and_time,
    stages_of,
    trainer_of,
)
from torchassistant.overview.summary import Best, Summary, best_of, sessions_in, summarize
from torchassistant.overview.training_graph import stored_graph, training_graph

__all__ = [
    "ENVIRONMENT",
    "SPEC",
    "Best",
    "Difference",
    "Row",
    "Summary",
    "Unreadable",
    "best_of",
    "compare",
    "looks_like_session",
    "required",
    "rows_in",
    "rows_of",
    "sessions_in",
    "size_and_time",
    "stages_of",
    "stored_graph",
    "summarize",
    "trainer_of",
    "training_graph",
]
