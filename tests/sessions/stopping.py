"""Sessions that are stopped after a number of iterations."""

from __future__ import annotations

from typing import Any

import pytest

from torchassistant.errors import Interrupted
from torchassistant.session import Session
from torchassistant.training import Reporter, StopRequest


class Stopping(Reporter):
    """Asks for an end after a number of iterations."""

    def __init__(self, iterations: int) -> None:
        self.left = iterations
        self.stop = StopRequest()

    def iteration_done(self, live: Any) -> None:
        self.left -= 1
        if self.left == 0:
            self.stop.signum = 2


def cut(session: Session, iterations: int) -> None:
    reporter = Stopping(iterations)
    with pytest.raises(Interrupted):
        session.train(reporter, reporter.stop)
