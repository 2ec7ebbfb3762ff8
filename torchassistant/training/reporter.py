"""What training tells while it runs; the default tells nothing."""

from __future__ import annotations

from collections.abc import Callable

from torchassistant.training.progress import Progress, Row
from torchassistant.training.timing import Shares

Live = Callable[[], dict[str, float]]
"""Gives the running losses and the metrics of the batch at hand, by display name."""


class Reporter:
    """Hears what happens. Override what is of interest."""

    def stage_started(self, progress: Progress, stages: int, epochs: int | None) -> None:
        """A stage begins or goes on; ``epochs`` is how many it has at most, if known."""

    def epoch_started(self, progress: Progress, iterations: int | None) -> None:
        """An epoch begins; ``iterations`` is how many it will have, if that is known."""

    def iteration_done(self, live: Live) -> None:
        """An iteration is done. ``live`` reads values from the device: call it seldom."""

    def evaluation_started(self, pipeline: str, batches: int | None) -> None:
        """A validation pipeline begins."""

    def batch_evaluated(self) -> None:
        """A batch of a validation pipeline is done."""

    def evaluation_finished(self, pipeline: str) -> None:
        """A validation pipeline is done."""

    def epoch_timed(self, shares: Shares) -> None:
        """An epoch is about to be finished; ``shares`` says where its time went.

        By phase, as fractions of the time from its start, or from where the run went on with it,
        until its state was kept: ``data``, ``forward``, ``backward``, ``optimizer``, ``metrics``,
        ``validation``, ``checkpoint``, ``other``.
        """

    def epoch_finished(self, progress: Progress, row: Row) -> None:
        """An epoch is done, its row is written."""

    def noted(self, sentence: str) -> None:
        """Something that a person should be told."""

    def stage_finished(self, progress: Progress) -> None:
        """The stop condition holds."""

    def close(self) -> None:
        """Nothing more will be told: clear what is left on the screen."""


class Reporters(Reporter):
    """Tells several reporters what it hears.

    Args:
        reporters: In the order in which they are told.
    """

    def __init__(self, *reporters: Reporter) -> None:
        self.reporters = reporters

    def stage_started(self, progress: Progress, stages: int, epochs: int | None) -> None:
        for reporter in self.reporters:
            reporter.stage_started(progress, stages, epochs)

    def epoch_started(self, progress: Progress, iterations: int | None) -> None:
        for reporter in self.reporters:
            reporter.epoch_started(progress, iterations)

    def iteration_done(self, live: Live) -> None:
        for reporter in self.reporters:
            reporter.iteration_done(live)

    def evaluation_started(self, pipeline: str, batches: int | None) -> None:
        for reporter in self.reporters:
            reporter.evaluation_started(pipeline, batches)

    def batch_evaluated(self) -> None:
        for reporter in self.reporters:
            reporter.batch_evaluated()

    def evaluation_finished(self, pipeline: str) -> None:
        for reporter in self.reporters:
            reporter.evaluation_finished(pipeline)

    def epoch_timed(self, shares: Shares) -> None:
        for reporter in self.reporters:
            reporter.epoch_timed(shares)

    def epoch_finished(self, progress: Progress, row: Row) -> None:
        for reporter in self.reporters:
            reporter.epoch_finished(progress, row)

    def noted(self, sentence: str) -> None:
        for reporter in self.reporters:
            reporter.noted(sentence)

    def stage_finished(self, progress: Progress) -> None:
        for reporter in self.reporters:
            reporter.stage_finished(progress)

    def close(self) -> None:
        for reporter in self.reporters:
            reporter.close()
