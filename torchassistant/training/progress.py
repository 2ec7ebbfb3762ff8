"""The progress of a run, and the request to stop it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from torchassistant.data import can_be_interrupted
from torchassistant.errors import Interrupted

Row = dict[str, int | float | None]
"""One row of the history: epoch, step, the display names, seconds. None was not measured."""


def step_of(row: Row) -> int:
    """The iteration, over all stages, after which a row was added."""
    step = row["step"]
    assert isinstance(step, int), "each row has a step"
    return step


@dataclass(slots=True)
class PassProgress:
    """The progress of a training pipeline in its pass over the data.

    Args:
        batches: Batches that are done.
        done: Whether the last one is.
        losses: Of each display name the sum over terms, and the number of terms.
        skipped: Batches without a step, as a loss or gradient was not finite.
        data: What its loaders need to give the rest of the pass.
        number: Of the pass, which its order follows from; None in a state of earlier versions, in
            which it is that of the epoch.
        rounds: Passes that were done before, in the same epoch.
        steps: Steps that are done in an iteration that is not.
        carry: What its graph carries to the next batch, by processor; where batches were cut, a
            list of that for each part.
        metrics: What those of its metrics have counted that are measured in training.
    """

    batches: int = 0
    done: bool = False
    losses: dict[str, tuple[float, float]] = field(default_factory=dict)
    skipped: int = 0
    data: Any = None
    number: int | None = None
    rounds: int = 0
    steps: int = 0
    carry: dict[str, Any] | list[dict[str, Any]] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)

    def carried(self) -> PassProgress:
        """The same pass, as it goes on in the next epoch."""
        return PassProgress(
            self.batches, self.done, data=self.data, number=self.number, carry=self.carry
        )


@dataclass(slots=True)
class EpochProgress:
    """The progress of an epoch that is not done.

    Args:
        iterations: Iterations that are done.
        seconds: Time that it has taken.
        passes: One for each training pipeline, by its name.
    """

    iterations: int
    seconds: float
    passes: dict[str, PassProgress]


@dataclass(slots=True)
class Progress:
    """The progress of a run: its only counters. Epochs and steps that are counted here are done.

    Args:
        stage: The index of the stage at hand; past the last one when the run is finished.
        epoch: Epochs over all stages.
        step: Iterations over all stages.
        stage_epoch: Epochs of the stage at hand.
        stage_step: Iterations of the stage at hand.
        within: The progress of the epoch at hand; between epochs that of the next one where passes
            go on in it, and else None. A stored name, as all here.
        passes: How many passes each training pipeline has begun, or left out.
    """

    stage: int = 0
    epoch: int = 0
    step: int = 0
    stage_epoch: int = 0
    stage_step: int = 0
    within: EpochProgress | None = None
    passes: dict[str, int] = field(default_factory=dict)

    @property
    def has_begun_stage(self) -> bool:
        """Whether anything of the stage at hand was begun."""
        return self.stage_step > 0 or self.within is not None

    def start_epoch(self, pipelines: Iterable[str]) -> EpochProgress:
        """An epoch begins, or goes on, with these training pipelines."""
        within = self.within = self.within or EpochProgress(0, 0.0, {})
        within.passes = {name: within.passes.get(name, PassProgress()) for name in pipelines}
        for name, its_pass in within.passes.items():
            if its_pass.number is None:
                its_pass.number = self.next_pass(name, self.epoch)
        return within

    def next_pass(self, pipeline: str, least: int = 0) -> int:
        """The number of the pass that a training pipeline begins now, from 0.

        Args:
            pipeline: Its name.
            least: Passes that it has left out are counted up to this.
        """
        number = max(least, self.passes.get(pipeline, 0))
        self.passes[pipeline] = number + 1
        return number

    def count_epoch(self, goes_on: bool = False) -> None:
        """The epoch at hand is done; ``goes_on`` says that its passes are not."""
        passes = self.within.passes if self.within is not None and goes_on else {}
        carried = {name: its_pass.carried() for name, its_pass in passes.items()}
        self.within = EpochProgress(0, 0.0, carried) if carried else None
        self.epoch += 1
        self.stage_epoch += 1

    def next_stage(self) -> None:
        """The stage at hand is done."""
        self.within = None
        self.stage += 1
        self.stage_epoch = 0
        self.stage_step = 0

    @classmethod
    def of(cls, data: dict[str, Any]) -> Progress:
        """What ``dataclasses.asdict`` made of a progress."""
        within = data.get("within")
        if within is not None:
            passes = {name: PassProgress(**done) for name, done in within["passes"].items()}
            within = EpochProgress(within["iterations"], within["seconds"], passes)
        return cls(**{**data, "within": within})


class StageHistory(list[Row]):
    """The rows of one stage.

    Args:
        rows: In order.
        iterations: The number of iterations that are done in the stage.

    Attributes:
        ends_in_epoch: Whether the last row was added within an epoch, which is not over.
    """

    def __init__(self, rows: Iterable[Row] = (), iterations: int = 0) -> None:
        super().__init__(rows)
        self.iterations = iterations
        self.ends_in_epoch = False


class SaveRequested(BaseException):
    """A validation is left so that the state can be saved, and run again then.

    Like :class:`Interrupted` it is no ``Exception``, which code of the user might answer.
    """


class StopCheck(Protocol):
    """What ends a pass over data, where somebody has asked for that."""

    def check(self) -> None:
        """Raise where it is to end; asked after each batch, and before one is waited for."""


class StopRequest:
    """Asks a running stage to stop after the iteration at hand.

    Attributes:
        signum: None until a signal handler, or another thread, sets it.
        saving: Whether the iteration is finished, and the state is being saved.
        at_once: Whether nothing was finished: what is in memory is not fit to be saved.
        save_asked: Whether the state is to be saved as soon as it is fit for that, and the run to
            go on; until that is done.
        is_shared: Whether other processes have to agree, so that nothing is given up here alone.
    """

    is_shared = False

    def __init__(self) -> None:
        self.signum: int | None = None
        self.saving = False
        self.at_once = False
        self.save_asked = False
        self._on_save_request: Callable[[], None] | None = None

    def ask_save(self) -> None:
        """For a signal handler: save the state after the iteration at hand, and go on."""
        self.save_asked = True
        if self._on_save_request is not None:
            self._on_save_request()

    def on_save_request(self, callback: Callable[[], None]) -> None:
        """Call this when the state is to be saved at once; now, if that was asked already."""
        self._on_save_request = callback
        if self.save_asked:
            callback()

    def ask(self, signum: int) -> None:
        """For a signal handler: stop soon; asked again, stop at once.

        Raises:
            Interrupted: There is nothing to wait for.
        """
        if self.signum is not None:
            self.give_up(signum, "stopped at once, at the second signal")
        self.signum = signum
        if can_be_interrupted() and not self.is_shared:
            raise Interrupted(signum, "stopped while waiting for data")

    def give_up(self, signum: int, why: str) -> None:
        """For a signal handler: stop where the program is.

        Raises:
            Interrupted: Always.
        """
        self.at_once = True
        raise Interrupted(signum, why)

    def agree(self) -> None:
        """Where other processes have to agree: ask them, between two batches of validation."""

    def check(self) -> None:
        """At the end of an iteration, or of a batch of validation.

        Raises:
            Interrupted: Somebody has asked for an end.
        """
        if self.signum is not None:
            raise Interrupted(self.signum, "stopped")
