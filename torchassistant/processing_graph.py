"""Has nothing of its own: what earlier releases had here is found under its name."""

from __future__ import annotations

from torchassistant.earlier_names import answering_for

__getattr__ = answering_for(__name__)
