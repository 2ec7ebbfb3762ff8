"""What a person may want to do with a session that is trained."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from torchassistant.cli.arguments import SUMMARIES
from torchassistant.cli.layout import as_word
from torchassistant.errors import shown_path
from torchassistant.session import Session

_CALLED = "  torchassistant "


def next_steps(session: Session) -> Iterator[str]:
    """Commands, as they can be typed."""
    name = as_word(shown_path(session.path))
    yield "next:"
    if session.spec.default_validation or session.spec.default_evaluators:
        yield f"{_CALLED}evaluate {name}"
    if "report" in SUMMARIES:
        yield f"{_CALLED}report {name}"
    if session.spec.inference is not None:
        yield f"{_CALLED}infer {name} INPUT"
        return
    pipelines = [*session.spec.default_validation, *session.pipelines]
    yield f"{_CALLED}infer {name} --pipeline {shlex.quote(pipelines[0])} -o predictions.csv"
