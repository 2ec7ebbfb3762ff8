"""Interrupts a run at a given place, through the Python API."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from faults import checkpoints_of, step_of

from torchassistant import load_session
from torchassistant.errors import Interrupted
from torchassistant.session import Session
from torchassistant.training import Reporter, StopRequest
from torchassistant.training.events import Live

SMALL = {"count": 16, "epochs": [2, 2]}
"""Two stages of two epochs of three iterations; each epoch ends with one batch of validation."""

STEPS = range(1, 13)
EPOCH_ENDS = range(3, 13, 3)

Interruption = tuple[int, str]
"""After which step, and where: in ``training``, or in the ``validation`` that follows."""

INTERRUPTIONS: list[Interruption] = sorted(
    [*((step, "training") for step in STEPS), *((step, "validation") for step in EPOCH_ENDS)]
)


class Interrupter(Reporter):
    """Requests a stop at a given place of the run."""

    def __init__(self, session: Session, interruption: Interruption) -> None:
        self.session = session
        self.interruption = interruption
        self.stop = StopRequest()

    def iteration_done(self, live: Live) -> None:
        self.reached("training")

    def batch_evaluated(self) -> None:
        self.reached("validation")

    def reached(self, where: str) -> None:
        if (self.session.progress.step, where) == self.interruption:
            self.stop.signum = signal.SIGINT


def train(folder: Path, interruption: Interruption | None = None) -> None:
    """Load a session and train it to its end, or to an interruption, which saves a checkpoint."""
    session = load_session(folder, trust=["fault_parts"])
    if interruption is None:
        session.train()
        return
    reporter = Interrupter(session, interruption)
    with pytest.raises(Interrupted):
        session.train(reporter, reporter.stop)
    assert step_of(checkpoints_of(folder)[-1]) == interruption[0]
