"""What data says of its length, and whether that is true.

A pass over a stream, or over what a sampler draws, is over when they are. Their ``__len__`` is a
claim: it serves progress bars, and fractions of a pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakSet

from torchassistant.messages import logger_for

_log = logger_for(__name__)

_warned_of: WeakSet[Any] = WeakSet()


class ClaimedLength:
    """A length that somebody claims; where it is not true, there is one warning.

    Args:
        owner: Whose ``__len__`` it is.
        what: What the owner is called in messages.
        unit: What it counts: examples, indices, batches.
        source: The name of the loader factory.
        batches: From the length to the number of batches: the fewest that it may mean, the most.
    """

    def __init__(
        self,
        owner: Any,
        what: str,
        unit: str,
        source: str,
        batches: Callable[[int], tuple[int, int]],
    ) -> None:
        self.owner = owner
        self.what = what
        self.unit = unit
        self.source = source
        self.batches = batches
        self._has_warned = False

    def __len__(self) -> int:
        """The number of batches.

        Raises:
            TypeError: The owner does not say.
        """
        return self.batches(len(self.owner))[0]

    def watched(self, batches: Iterator[Any], skipped: int) -> Iterator[Any]:
        """The same batches.

        Args:
            batches: The rest of a pass.
            skipped: So many batches of it are done already.
        """
        try:
            length = len(self.owner)
            fewest, most = self.batches(length)
        except Exception:  # it does not say, or its code fails; nothing needs to be known
            yield from batches
            return
        number = skipped
        for number, batch in enumerate(batches, start=skipped + 1):
            if number == most + 1:
                self._warn(length, "gives more; the pass continues until the data ends")
            yield batch
        if number < fewest:
            self._warn(length, f"the pass ended after {_counted(number, 'batches')}")

    def _warn(self, length: int, found: str) -> None:
        if self._has_warned or _was_warned_of(self.owner):
            return
        self._has_warned = True
        claimed = _counted(length, self.unit)
        if self.unit != "batches":
            claimed += f" ({_counted(self.batches(length)[0], 'batches')})"
        _log.warning(
            f'{self.what}, in the loader factory "{self.source}", says that it has '
            f"{claimed}, and {found}"
        )


def _was_warned_of(owner: Any) -> bool:
    """Whether there was a warning of this owner before, maybe for another loader."""
    try:
        is_known = owner in _warned_of
        _warned_of.add(owner)
    except TypeError:  # it cannot be hashed, or not be referred to weakly
        return False
    return is_known


def _counted(count: int, unit: str) -> str:
    one = {"batches": "batch", "examples": "example", "indices": "index"}[unit]
    return f"{count} {one if count == 1 else unit}"


def batches_of(batch_size: int | None, drop_last: bool, workers: int) -> Callable[..., Any]:
    """How many batches some examples of a stream make: the fewest, and the most.

    Args:
        batch_size: Examples a batch; None where each example is a batch.
        drop_last: Whether a last batch that is not full is left out.
        workers: How many processes divide the examples; each of them has a last batch.
    """
    more = max(0, workers - 1) if batch_size is not None and batch_size > 1 else 0

    def batches(count: int) -> tuple[int, int]:
        whole, rest = divmod(count, batch_size or 1)
        if drop_last:
            return max(0, whole - more), whole
        return whole + bool(rest), whole + bool(rest) + more

    return batches
