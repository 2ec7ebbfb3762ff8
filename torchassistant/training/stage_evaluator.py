"""Evaluators of a stage: code of the user that measures models over the data of a loader."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import nn

from torchassistant.data import (
    EvaluationLoader,
    LoaderFactory,
    derived,
    generators_in,
    has_state,
    object_rngs_seeded,
    seeded,
)
from torchassistant.errors import DataError, blaming, listing
from torchassistant.graph import buffers_of, evaluating
from torchassistant.training.events import Listener, emit, handlers_of
from torchassistant.training.progress import StopCheck, StopRequest

TWO_BATCHES = 2
"""So many are run to learn which keys an evaluator gives."""


@dataclass(slots=True, eq=False)
class StageEvaluator:
    """An evaluator, and what it is called with.

    Args:
        name: Of its definition.
        function: Called as ``function(models, loader)``; gives a dict of numbers.
        models: By the names that it knows them by.
        factory: Draws the batches; None: it needs no data.
        seed: Of the run.
        every_epochs: It is called after every so many epochs of the stage.
        refreshes: Bring averages among its models up to date.
        keys: Those of the dict; None is not known yet.
        autocast: Gives a context in which it is called, as the forward passes of a validation are.
        limit: So many batches of its data are all that there are; None: every one.
        only_first: Whether only the first of several processes calls it.
    """

    name: str
    function: Callable[[dict[str, nn.Module], Any], Any]
    models: Mapping[str, nn.Module]
    factory: LoaderFactory | None
    seed: int
    every_epochs: int = 1
    refreshes: Sequence[Callable[[StopCheck], None]] = ()
    keys: tuple[str, ...] | None = None
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext
    limit: int | None = None
    only_first: bool = False

    @property
    def what(self) -> str:
        """What it is in messages."""
        return f'the evaluator "{self.name}"'

    @property
    def columns(self) -> dict[str, str]:
        """The column of each key."""
        return {key: f"{self.name}/{key}" for key in self.keys or ()}

    def is_due(self, epoch: int) -> bool:
        """Whether it is called after an epoch of the stage, counted from 1."""
        return epoch % self.every_epochs == 0

    def learn_keys(self) -> None:
        """Run it over two batches for the keys that it gives, unless they are known.

        Raises:
            DataError: What it gives is no dict of numbers.
            UserCodeError: It raised.
        """
        if self.keys is None:
            self.keys = tuple(self._called(StopRequest(), (), TWO_BATCHES))

    def run(self, stop: StopCheck, listeners: Sequence[Listener] = ()) -> dict[str, float]:
        """What it measures, by column.

        Its models are in eval mode, without gradient, in the run's precision. Random numbers follow
        from the seed and its name alone; its generators, those of its data and the global ones, and
        the buffers and gradients of its models are afterwards as they were.

        Args:
            stop: Ends it early, between two batches.
            listeners: Of evaluations.

        Raises:
            DataError: It gives other keys than it did, or no dict of numbers.
            Interrupted: ``stop`` asked for it.
            UserCodeError: It raised.
        """
        results = self._called(stop, listeners)
        if self.keys is None:
            self.keys = tuple(results)
        self._expect_keys(results)
        return {column: results[key] for key, column in self.columns.items()}

    def _called(
        self, stop: StopCheck, listeners: Sequence[Listener], limit: int | None = None
    ) -> dict[str, float]:
        for refresh in self.refreshes:
            refresh(stop)
        seed = derived(self.seed, "evaluator", self.name)
        data = self._data(seed, stop, listeners, limit)
        emit(handlers_of(listeners, Listener.evaluation_started), self.name, _length(data))
        with (
            self._left_alone(),
            seeded(seed),
            object_rngs_seeded(self._rng_holders(), seed),
            nullcontext() if data is None else closing(data),
            blaming(self.what),
            self.autocast(),
        ):
            result = self.function(dict(self.models), data)
            numbers = dict(self._numbers(result))
        stop.check()
        emit(handlers_of(listeners, Listener.evaluation_finished), self.name)
        return numbers

    def _data(
        self, seed: int, stop: StopCheck, listeners: Sequence[Listener], limit: int | None
    ) -> EvaluationLoader | None:
        if self.factory is None:
            return None
        handlers = handlers_of(listeners, Listener.batch_evaluated)
        factory = self.factory if limit is None else self.factory.in_process()
        limits = [number for number in (limit, self.limit) if number is not None]
        most = min(limits, default=None)
        return EvaluationLoader(factory, seed, stop.check, lambda: emit(handlers), most)

    @contextmanager
    def _left_alone(self) -> Iterator[None]:
        modules = list(self.models.values())
        own = [self.function] if isinstance(self.function, nn.Module) else []
        parameters = [p for module in modules for p in module.parameters()]
        gradients = [(parameter, parameter.grad) for parameter in parameters]
        put_back = buffers_of(modules)
        for parameter in parameters:
            parameter.grad = None
        try:
            with evaluating([*modules, *own]):
                yield
        finally:
            put_back()
            for parameter, gradient in gradients:
                parameter.grad = gradient

    def _rng_holders(self) -> dict[str, Any]:
        # Not itself: its state goes on from call to call, and is stored.
        holders: dict[str, Any] = {"generators": generators_in({"": self.function})}
        if self.factory is not None:
            holders |= {"dataset": self.factory.dataset, "collator": self.factory.collator}
        return holders

    def _numbers(self, result: Any) -> Iterator[tuple[str, float]]:
        if not isinstance(result, Mapping):
            found = type(result).__name__
            raise DataError(f"{self.what} must give a dict of numbers; found {found}")
        for key, value in result.items():
            if not isinstance(key, str) or not key:
                raise DataError(f"{self.what} must give numbers by names; found the key {key!r}")
            number = _number(value)
            if number is None:
                found = type(value).__name__
                raise DataError(f'{self.what} must give numbers; found {found} for "{key}"')
            yield key, number

    def _expect_keys(self, results: Mapping[str, float]) -> None:
        known = self.keys or ()
        later = [key for key in results if key not in known]
        missing = [key for key in known if key not in results]
        if later or missing:
            gives = f"gives {listing(later)}" if later else f"gives no {listing(missing)}"
            raise DataError(
                f"{self.what} {gives}, and the columns of a stage are fixed when it begins: "
                f"{listing(list(known)) or 'none'}; an attribute `columns` names all of its keys"
            )


def _number(value: Any) -> float | None:
    """A number as a float; None where it is none."""
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
        count = value.numel() if isinstance(value, torch.Tensor) else value.size
        value = value.item() if count == 1 else None
    return float(value) if isinstance(value, Real) else None


def _length(data: EvaluationLoader | None) -> int | None:
    """The number of batches in a pass, for a bar; None where it cannot be had."""
    try:
        return None if data is None else len(data)
    except Exception:  # __len__ may be code of the user
        return None


def states_of_evaluators(evaluators: Sequence[StageEvaluator]) -> Callable[[], None]:
    """Notes the states that evaluators keep; what it returns puts them back."""
    functions: list[Any] = [evaluator.function for evaluator in evaluators]
    noted: list[tuple[Any, Any]] = [
        (function, copy.deepcopy(function.state_dict()))
        for function in functions
        if has_state(function)
    ]

    def put_back() -> None:
        for function, state in noted:
            function.load_state_dict(state)

    return put_back
