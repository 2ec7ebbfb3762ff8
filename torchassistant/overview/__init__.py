"""Sessions looked at from outside: quickly, without torch, whole or damaged, while they train."""

from torchassistant.overview.difference import Difference, compare
from torchassistant.overview.summary import Best, Summary, sessions_in, summarize

__all__ = ["Best", "Difference", "Summary", "compare", "sessions_in", "summarize"]
