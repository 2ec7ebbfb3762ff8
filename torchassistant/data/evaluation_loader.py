"""The batches of a loader factory as evaluation reads them, for code of the user."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from typing import Any

from torchassistant.data.loader_errors import guarded
from torchassistant.data.loader_factory import LoaderFactory
from torchassistant.data.port import Port
from torchassistant.data.workers import interruptible
from torchassistant.errors import UserCodeError, UserError


class EvaluationLoader:
    """Every example of a dataset in its own order, in batches as the collator made them.

    Each ``for`` over it is a pass from the beginning; the batches are on the host. Its length is
    the number of batches.

    Args:
        factory: Draws the batches.
        seed: What is random in them follows from that.
        check: Called before each batch; raises where nobody waits for the rest any more.
        batch_given: Called with each batch that was asked for.
        limit: So many batches are all that there are; None gives every one.
    """

    def __init__(
        self,
        factory: LoaderFactory,
        seed: int,
        check: Callable[[], None],
        batch_given: Callable[[], None] | None = None,
        limit: int | None = None,
    ) -> None:
        self._factory = factory
        self._seed = seed
        self._check = check
        self._batch_given = batch_given
        self._limit = limit
        self._open = ExitStack()

    @property
    def dataset(self) -> Any:
        """What the batches are drawn from."""
        return self._factory.dataset

    def __len__(self) -> int:
        """The number of batches in a pass.

        Raises:
            TypeError: The dataset does not say how long it is.
        """
        whole = len(self._factory.for_evaluation(self._seed))
        return whole if self._limit is None else min(whole, self._limit)

    def __iter__(self) -> Iterator[Any]:
        return self._open.enter_context(closing(self._pass()))

    def _pass(self) -> Generator[Any, None, None]:
        loader = self._factory.for_evaluation(self._seed)
        port = Port("", loader, None, self._factory.name, self._factory.dataset_name)
        given = 0
        loader.start(0)
        with closing(loader), closing(guarded(port)) as batches:
            while self._limit is None or given < self._limit:
                self._check()
                counted = self._next(batches, loader.can_be_left)
                if counted is None:
                    return
                yield counted[0]
                given += 1
                if self._batch_given is not None:
                    self._batch_given()

    def _next(self, batches: Iterator[Any], can_be_left: bool) -> Any:
        try:
            if not can_be_left:
                return next(batches, None)
            with interruptible(self._check):
                return next(batches, None)
        except (UserCodeError, UserError):
            # A signal to the whole process group ends the workers too: no fault of theirs.
            self._check()
            raise

    def close(self) -> None:
        """End the passes that were begun and left."""
        self._open.close()
