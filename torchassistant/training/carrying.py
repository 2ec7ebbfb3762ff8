"""Running batches one after the other, each with the state that those before it carry on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from torchassistant.frames import Frames
from torchassistant.graph import BatchGraph, recut_carries

T = TypeVar("T")


class Carrying(Generic[T]):
    """Runs the batches of a pass in their order.

    Args:
        run: Takes a batch through a graph.

    Attributes:
        values: What is carried to the next batch, by processor; nothing at the start of a pass.
    """

    def __init__(self, run: Callable[[Frames], T]) -> None:
        self.run = run
        self.values: dict[str, Any] = {}

    def state(self) -> Any:
        """What :meth:`start` goes on from."""
        return self.values

    def start(self, state: Any) -> None:
        """Begin a pass, or go on with one: also with one of which parts of batches were run."""
        if isinstance(state, list):
            (state,) = recut_carries(state, 1)
        self.values = state

    def __call__(self, frames: Frames) -> T:
        """Run the next batch."""
        frames.carried = self.values
        result = self.run(frames)
        self.values = frames.carried
        return result


def carrying_in(run: Callable[[Frames], Any]) -> Carrying[Any] | None:
    """What carries state, where that is what runs batches."""
    return run if isinstance(run, Carrying) else None


def carrying(graph: BatchGraph, run: Callable[[Frames], T]) -> Callable[[Frames], T]:
    """What runs the batches of one pass after the other through a graph.

    Args:
        graph: Which one; where it carries nothing, ``run`` is all that there is to it.
        run: Takes a batch through it.
    """
    return Carrying(run) if graph.carries else run
