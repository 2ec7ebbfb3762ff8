"""What objects keep that are no modules, as the old images of a GAN: each part has its own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torchassistant.codec import CodecError
from torchassistant.errors import SessionError
from torchassistant.parallel.processes import Processes


class PartStates:
    """Lets each part of a batch go on with what it has left in objects itself.

    Between the steps the objects hold what the first part has left, in every process.

    Args:
        objects: By id; each has a ``state_dict``, and takes one back.
        processes: Who holds the parts.
        own: The numbers of those that this process holds.
        stored: By id, of each part what it has left; where they are fewer, or others, parts share
            the states. An object that is not in there begins each part as it is.

    Attributes:
        whole: By id, of each part what it had left at the last :meth:`settle`.
    """

    def __init__(
        self,
        objects: Mapping[str, Any],
        processes: Processes,
        own: range,
        stored: Mapping[str, Sequence[Any]],
    ) -> None:
        self.objects = objects
        self.processes = processes
        self.whole = {key: list(states) for key, states in stored.items() if key in objects}
        begun = {key: [item.state_dict()] for key, item in objects.items()} | self.whole
        self._left = [
            {key: copy.deepcopy(states[part % len(states)]) for key, states in begun.items()}
            for part in own
        ]
        self._at: int | None = None

    def start(self, at: int) -> None:
        """The own part at a place goes on."""
        if at == self._at:
            return
        self._leave()
        for key, item in self.objects.items():
            item.load_state_dict(copy.deepcopy(self._left[at][key]))
        self._at = at

    def noted(self) -> Callable[[], None]:
        """Notes what the part at hand has left so far; puts that back."""
        before = {key: copy.deepcopy(item.state_dict()) for key, item in self.objects.items()}

        def put_back() -> None:
            for key, item in self.objects.items():
                item.load_state_dict(before[key])

        return put_back

    def settle(self) -> None:
        """Steps are done: let all processes know what all parts have left.

        Raises:
            SessionError: That holds something that is neither data nor a tensor.
        """
        self._leave()
        try:
            told = self.processes.gather_values(self._left)
        except CodecError as error:
            raise SessionError(f"the state of the session cannot be stored: {error}") from None
        parts = [left for some in told for left in some]
        self.whole = {key: [left[key] for left in parts] for key in self.objects}
        for key, item in self.objects.items():
            item.load_state_dict(copy.deepcopy(self.whole[key][0]))

    def _leave(self) -> None:
        if self._at is not None:
            left = {key: item.state_dict() for key, item in self.objects.items()}
            self._left[self._at], self._at = copy.deepcopy(left), None
