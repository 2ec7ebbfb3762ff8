"""A dataset as its cache reads it: each example once, and nothing random."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torchassistant.data.object_rngs import generators_in, states_of
from torchassistant.data.rng import random_state, same_state
from torchassistant.errors import DataError, blaming


class NotCached(Exception):
    """There is no cache of a dataset, and it is read as without one; the message is a clause."""


class Source:
    """Gives examples of a dataset, and sees whether random numbers were drawn for them.

    Args:
        dataset: Gives examples by index.
        name: The name of the definition, for messages.
    """

    def __init__(self, dataset: Any, name: str) -> None:
        self.dataset = dataset
        self.name = name

    def __len__(self) -> int:
        return len(self.dataset)

    def examples(self, indices: Iterable[int]) -> Iterator[Any]:
        """Some examples.

        Raises:
            DataError: Random numbers were drawn for them; reported after the last one.
            UserCodeError: The dataset raised.
        """
        before = self._state()
        for number, index in enumerate(indices):
            with blaming(f'filling the cache of the dataset "{self.name}", at example {index}'):
                example = self.dataset[index]
            if not number:
                # Some make their generators when the first example is asked for.
                before = {**self._state(), **before}
            yield example
        if not same_state(before, self._state()):
            raise DataError(
                f'the dataset "{self.name}" draws random numbers for its examples, and its cache '
                'would give the same ones in every epoch; random transforms belong in "augment" of '
                'the loader factory: move them there, or remove "cache"'
            )

    def _state(self) -> dict[str, Any]:
        own = states_of(generators_in({"dataset": self.dataset}))
        return {"of all": random_state(), **own}
