"""A pass over the data of a pipeline: waiting for batches, and who is to blame for a failure."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, TypeVarTuple

from torchassistant.data import FramesOfEpoch, MultiLoader, interruptible
from torchassistant.errors import DataError, UserCodeError, UserError
from torchassistant.frames import Frames
from torchassistant.training.progress import StopCheck

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class DataPass:
    """Gives the batches of one pass after the other.

    Args:
        data: Loads the batches.
        stop: Asked before each batch is waited for, where waiting can be given up.
        restarts: Whether a pass that is left starts over, so that any failure may be a stop.
    """

    def __init__(self, data: MultiLoader, stop: StopCheck, restarts: bool = False) -> None:
        self.data = data
        self.stop = stop
        self.restarts = restarts
        self.frames = _no_frames()
        self.can_be_left = data.can_be_left

    def start(self, epoch: int, skipped: int = 0, state: Mapping[str, Any] | None = None) -> None:
        """Begin a pass.

        Args:
            epoch: Counted from 0, over all stages.
            skipped: So many batches of it are done already.
            state: What the loaders need to give the rest of it.
        """
        self.frames = self.data.frames(epoch, skipped, state)

    def next(self) -> Frames | None:
        """The frames of the next batch by port; None where there is none left.

        Raises:
            Interrupted: The run is to be stopped, and no batch has arrived.
        """
        try:
            if not self.can_be_left:
                return next(self.frames, None)
            with interruptible(self.stop.check):
                return next(self.frames, None)
        except (UserCodeError, UserError):
            # A signal to the whole process group ends the workers too: no fault of theirs.
            if self.can_be_left or self.restarts:
                self.stop.check()
            raise

    def run(
        self,
        compute: Callable[[Sequence[Frames], range, *Ts], T],
        window: Sequence[Frames],
        numbers: range,
        *args: *Ts,
    ) -> T:
        """Compute something from batches of this pass.

        Args:
            compute: What is called, with all that follows.
            window: The batches.
            numbers: Their places in the pass, from 0.
            args: Whatever else it wants.

        Raises:
            DataError: An example is unlike the others of its dataset, or a library could not
                compute them.
            UserCodeError: The user's code raised.
        """
        try:
            if not self.data.has_changed:
                return compute(window, numbers, *args)
            self.data.has_changed = False
            result, stretched = _watching_shapes(partial(compute, window, numbers, *args))
        except (UserError, UserCodeError) as error:
            raise self.data.explained(error, numbers, window[-1]) from error.__cause__
        if stretched is not None:
            explained = self.data.explained(stretched, numbers, window[-1])
            if explained is not stretched:
                raise explained
            warnings.warn(str(stretched), stacklevel=2)
        return result

    def close(self) -> None:
        """End the pass, and what loads its data."""
        self.frames.close()
        self.frames = _no_frames()


def _no_frames() -> FramesOfEpoch:
    yield from ()


def tells_of_stretching(warning: warnings.WarningMessage) -> bool:
    """Whether torch warns that a loss has stretched one of its inputs to the size of the other."""
    return "target size" in str(warning.message)


def _watching_shapes(compute: Callable[[], T]) -> tuple[T, DataError | None]:
    """Compute something, and see whether a loss of torch has stretched one of its inputs in it.

    Returns:
        What was computed; and what torch says of that, for who knows whether it is meant, or None.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = compute()
    stretched = None
    for warning in caught:
        if tells_of_stretching(warning):
            stretched = DataError(str(warning.message))
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    return result, stretched
