"""The calls of one event: which methods of which callbacks, with what, and around them what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Any, NoReturn, Protocol, get_type_hints

from torchassistant.callbacks import Callback
from torchassistant.callbacks.base import HEARD
from torchassistant.callbacks.events import (
    EmittedEvent,
    Event,
    Now,
)
from torchassistant.data import random_state, set_random_state
from torchassistant.errors import DataError, NotWritten, UserCodeError, UserError
from torchassistant.parallel import alone
from torchassistant.training.events import Part, Parts
from torchassistant.training.named_callback import NamedCallback

EVENTS: dict[str, type[Event]] = {
    name: get_type_hints(method)["event"]
    for name, method in vars(Callback).items()
    if name.startswith("on_")
}
"""What the method of each event is called with."""

WITHIN_ITERATIONS = (
    "on_iteration_start",
    "on_step_start",
    "on_backward_end",
    "on_step_end",
    "on_iteration_end",
    "on_validation_batch_end",
)
"""Around these, random numbers are guarded only where the class says that it draws some."""


class Clock(Protocol):
    """Adds up the time of callbacks."""

    of_callbacks: float
    """Seconds so far."""

    def note_callbacks(self, total: float) -> None:
        """So many seconds by now; those that are new were spent within a phase."""


class NoClock:
    """Between epochs nobody asks where the time goes."""

    of_callbacks = 0.0

    def note_callbacks(self, total: float) -> None:
        """See :class:`Clock`."""


class Calls:
    """The calls of one event, in the order of the callbacks.

    Args:
        calls: Each callback's name for messages, its method, and the event that it gets.
        clock: Learns how long they take. What a callback emits is part of its own time.
    """

    def __init__(self, calls: Sequence[tuple[str, Callable[..., Any], Event]], clock: Clock):
        self.calls = calls
        self.clock = clock
        self.are_any = len(calls) > 0

    def run(self, *args: Any, **kwargs: Any) -> None:
        """Make them.

        Args:
            args: What the methods get beside the event.
            kwargs: Likewise.

        Raises:
            UserCodeError: One raised.
            DataError: One raised an error of ours, as it asked for what cannot be done.
        """
        counted, begin = self.clock.of_callbacks, perf_counter()
        for what, method, event in self.calls:
            try:
                method(event, *args, **kwargs)
            except Exception as error:
                _blame(what, error)
        self.clock.note_callbacks(counted + perf_counter() - begin)

    def between_steps(self) -> Callable[[object], None]:
        """What makes them in every iteration, where no phase is under way: as quick as can be."""
        calls, clock = self.calls, self.clock

        def run(live: object) -> None:
            counted, begin = clock.of_callbacks, perf_counter()
            for what, method, event in calls:
                try:
                    method(event)
                except Exception as error:
                    _blame(what, error)
            clock.of_callbacks = counted + perf_counter() - begin

        return run


def _blame(what: str, error: Exception) -> NoReturn:
    """Say whose fault an error is: of a callback, by its name and the event.

    Raises:
        UserCodeError: It is one of the user's code.
        DataError: It is one of ours.
    """
    if isinstance(error, UserCodeError):
        raise error
    if isinstance(error, NotWritten):
        raise DataError(f"{what}: {error}") from error
    if not isinstance(error, UserError):
        raise UserCodeError(what) from error
    name = what.partition(", in ")[0]
    problems = [
        p if p.message.startswith(name) else replace(p, message=f"{what}: {p.message}")
        for p in error.problems
    ]
    raise DataError(*problems, about=error.about) from error.__cause__


def calls_of(
    event: str, owns: Iterable[NamedCallback], now: Now, clock: Clock, parts: Parts | None = None
) -> Calls:
    """The calls of an event: of those callbacks that override its method.

    Args:
        event: The name of the method.
        owns: The callbacks, in order.
        now: What the events show.
        clock: Learns how long the calls take.
        parts: Puts events of the loop around each call.
    """
    base = getattr(Callback, event)
    found = []
    for own in owns:
        if own.is_silent:
            continue
        method = getattr(own.callback, event)
        if getattr(method, "__func__", None) is not base:
            method = _guarded(method, own, event)
            if own.callback.only_first is True:
                method = partial(_call_alone, method)
            if parts is not None:
                method = parts.around(method, Part.CALLBACK, own.name)
            found.append((f"{own}, in {event}", method, EVENTS[event](now, own)))
    return Calls(found, clock)


def emitted_calls(owns: Iterable[NamedCallback], now: Now, clock: Clock) -> dict[str, Calls]:
    """The calls of each event of one's own, by its name."""
    found: dict[str, list[tuple[str, Callable[..., Any], Event]]] = {}
    for own in owns:
        for heard, method in () if own.is_silent else _hearing(own.callback):
            what = f'{own}, in {method.__name__} (on "{heard}")'
            guarded = _guarded(method, own, "") if own.callback.draws is True else method
            found.setdefault(heard, []).append((what, guarded, EmittedEvent(now, own)))
    return {name: Calls(calls, clock) for name, calls in found.items()}


def _hearing(callback: Callback) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The methods that hear events of one's own, each with the name of the event."""
    names = dict.fromkeys(name for kind in reversed(type(callback).__mro__) for name in vars(kind))
    for name in names:
        marked = getattr(getattr(type(callback), name, None), HEARD, ())
        for heard in marked if isinstance(marked, tuple) else ():
            yield heard, getattr(callback, name)


def _guarded(method: Callable[..., Any], own: NamedCallback, event: str) -> Callable[..., Any]:
    """The same method; what it draws from generators that belong to nobody is put back."""
    if event in WITHIN_ITERATIONS and own.callback.draws is not True:
        return method
    return partial(_call_guarded, method)


def _call_alone(method: Callable[..., Any], *args: Any) -> None:
    with alone():
        method(*args)


def _call_guarded(method: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    before = random_state()
    try:
        method(*args, **kwargs)
    finally:
        set_random_state(before)
