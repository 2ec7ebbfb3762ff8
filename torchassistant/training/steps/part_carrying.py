"""What the parts of a batch carry on, each for itself: a row's state stays with the row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from torchassistant.frames import Frames
from torchassistant.graph import recut_carries
from torchassistant.parallel import World

T = TypeVar("T")


class PartCarrying(Generic[T]):
    """Runs the own parts of the batches of a pass, each part in its order.

    Args:
        run: Takes a part through a graph.
        world: Says which parts are run here.

    Attributes:
        values: What each own part carries to the next batch, by processor.
    """

    def __init__(self, run: Callable[[Frames], T], world: World) -> None:
        self.run = run
        self.world = world
        self.values: list[dict[str, Any]] = [{} for _ in world.own]

    def __call__(self, frames: Frames, at: int) -> T:
        """Run a part of the next batch; ``at`` is its place among the own ones."""
        frames.carried = self.values[at]
        result = self.run(frames)
        carried = [*self.values]
        carried[at] = frames.carried
        self.values = carried
        return result

    def state(self) -> dict[str, Any] | list[dict[str, Any]]:
        """What all parts of all processes carry: a list of them, in order."""
        if not any(self.world.processes.gather_values(any(self.values))):
            return {}
        return [one for some in self.world.processes.gather_values(self.values) for one in some]

    def start(self, state: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
        """Begin a pass, or go on with one, from what :meth:`state` gave, of any world.

        Raises:
            DataError: It was carried by other parts, and nobody can tell its rows.
        """
        parts = state if isinstance(state, Sequence) else [state] if state else []
        if len(parts) not in (0, self.world.parts):
            parts = recut_carries(parts, self.world.parts)
        self.values = [dict(parts[number]) if parts else {} for number in self.world.own]
